// Verifies webhooks with the official JavaScript library.
//
// Reads a JSON list of {"secret", "headers", "body" (base64)} from stdin and prints a
// verdict for each, one a line: "ok", or the name of the error.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The first argument is the directory that holds node_modules.
const require = createRequire(process.argv[2] + "/");
const { Webhook } = require("standardwebhooks");

for (const request of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    const webhook = new Webhook(request.secret);
    webhook.verify(Buffer.from(request.body, "base64"), request.headers);
    console.log("ok");
  } catch (error) {
    console.log(error.constructor.name);
  }
}
