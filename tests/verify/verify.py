"""Verifies webhooks with the official Python library.

Reads a JSON list of {"secret", "headers", "body" (base64)} from stdin and prints a
verdict for each, one a line: "ok", or the name of the error.
"""

import base64
import json
import sys

from standardwebhooks.webhooks import Webhook

for request in json.load(sys.stdin):
    try:
        webhook = Webhook(request["secret"])
        webhook.verify(base64.b64decode(request["body"]), request["headers"])
        print("ok")
    except Exception as error:
        print(type(error).__name__)
