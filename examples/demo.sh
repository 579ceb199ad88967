#!/usr/bin/env bash
# From a clone to verified webhooks: installs what is missing, builds, runs `walhook demo`.
#
#   examples/demo.sh              20 seconds of it
#   examples/demo.sh --for 60s    arguments go to `walhook demo`
#
# Needs a Rust toolchain. Debian, Ubuntu, Fedora and Homebrew are known; elsewhere it says
# what to install. It asks for no database: the demo makes one of its own and removes it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*" >&2; }
fail() {
    printf 'examples/demo.sh: %s\n' "$*" >&2
    exit 1
}

command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null ||
    fail "no cargo here: install a Rust toolchain (https://rustup.rs, or your distribution's rustup), then run this again"

version=$(cargo --version | cut -d ' ' -f 2)
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
[ "$(printf '%s\n' "$wanted" "$version" | sort -V | head -n 1)" = "$wanted" ] ||
    fail "cargo $version is here, $wanted or later is needed: rustup update (https://rustup.rs)"

# Where `walhook demo` looks too.
have_postgres() {
    command -v initdb >/dev/null && return
    [ -n "${WALHOOK_DEMO_PG_BIN:-}" ] && return
    local program
    for program in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /usr/local/pgsql*/bin/initdb \
        /opt/homebrew/opt/postgresql@*/bin/initdb /usr/local/opt/postgresql@*/bin/initdb \
        /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin/initdb \
        /Applications/Postgres.app/Contents/Versions/*/bin/initdb; do
        [ -x "$program" ] && return
    done
    return 1
}
have_compiler() { command -v cc >/dev/null; }

# The package of the server, of the C compiler, and the command that installs them.
if command -v apt-get >/dev/null; then
    server=postgresql compiler=build-essential install=(env DEBIAN_FRONTEND=noninteractive apt-get install -q -y)
    refresh=(apt-get update -q)
elif command -v dnf >/dev/null; then
    server=postgresql-server compiler=gcc install=(dnf install -y) refresh=(true)
elif command -v brew >/dev/null; then
    server=postgresql@17 compiler=gcc install=(brew install) refresh=(true)
else
    server="a PostgreSQL server, 14 or later (initdb, pg_ctl)" compiler="a C compiler (cc)" install=() refresh=(true)
fi

missing=()
have_postgres || missing+=("$server")
have_compiler || missing+=("$compiler")
if [ ${#missing[@]} -gt 0 ]; then
    [ ${#install[@]} -gt 0 ] || fail "please install $(printf '%s; ' "${missing[@]}")then run this again"
    as_root=()
    # Homebrew refuses root; the others need it.
    if [ "$(id -u)" -ne 0 ] && [ "${install[0]}" != brew ]; then
        command -v sudo >/dev/null || fail "please run as root: ${install[*]} ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    ${as_root[@]+"${as_root[@]}"} "${refresh[@]}"
    ${as_root[@]+"${as_root[@]}"} "${install[@]}" "${missing[@]}" ||
        fail "could not install them; please do it by hand: ${install[*]} ${missing[*]}"
    have_postgres || fail "still no initdb: name its directory in WALHOOK_DEMO_PG_BIN"
fi

say "building walhook (a few minutes the first time)"
cargo build --release --locked

# cargo knows where it built; it becomes the program, so that Ctrl-C meets the demo alone.
exec cargo run --release --locked --quiet -- demo "$@"
