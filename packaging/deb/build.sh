#!/bin/sh
# Builds the Debian package, with completions and manual pages made by the binary itself.
#
#   packaging/deb/build.sh [ARGUMENTS FOR cargo deb]    target/debian/walhook_VERSION_ARCH.deb
#
# WALHOOK_PROFILE   another build profile than release
#
# Needs cargo-deb: cargo install --locked cargo-deb
set -eu
cd "$(dirname "$0")/../.."
profile=${WALHOOK_PROFILE:-release}
directory=$profile
[ "$profile" != dev ] || directory=debug
built=${CARGO_TARGET_DIR:-target}/$directory

command -v cargo-deb >/dev/null || {
    echo "$0: cargo-deb is missing: cargo install --locked cargo-deb" >&2
    exit 1
}
cargo build --locked --bin walhook --profile "$profile"
made=$built/packaging
rm -rf "$made"
"$built/walhook" man "$made/man"
"$built/walhook" completions bash >"$made/walhook.bash"
"$built/walhook" completions zsh >"$made/_walhook"
"$built/walhook" completions fish >"$made/walhook.fish"
sed 's#=docs/#=/usr/share/doc/walhook/#' config.yaml >"$made/config.yaml"
cargo deb --locked --no-build --profile "$profile" "$@"
