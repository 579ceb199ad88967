#!/bin/sh
# Installs the official verifiers into the directory $1, unless they are there already.
set -eu
dir=$1
mkdir -p "$dir"
python=$dir/python/bin/python
if ! "$python" -c 'import standardwebhooks' 2>/dev/null; then
    rm -rf "$dir/python"
    python3 -m venv "$dir/python"
    "$dir/python/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0
fi
if [ ! -d "$dir/node_modules/standardwebhooks" ]; then
    npm install --prefix "$dir" --no-save --no-audit --no-fund --silent standardwebhooks@1.1.1
fi
