#!/usr/bin/env bash
# All checks and tests, with whatever they need installed first (Debian, Ubuntu).
#
#   tests/run.sh                       everything, on PostgreSQL 14, 15, 16, 17 and 18
#   tests/run.sh ARGUMENTS             on PostgreSQL 15, the arguments go to `cargo test`
#   tests/run.sh --postgres 14,17 ..   on these majors
#   tests/run.sh --long ..             then the simulator with 1,000,000 seeds (WALHOOK_SIM_SEEDS), for hours
#   tests/run.sh --fuzz [TARGET...]    each fuzz target for a minute, and nothing else
#
# Of several majors one has all tests: 15 when it is among them, else the first. The others have
# those of the modules that stand in tests/it/main.rs below `On every major`; with ARGUMENTS, those
# that the arguments choose. A single major has all tests.
#
# Needs a Rust toolchain; runs as root or as an ordinary user. What is there already is
# not installed again, so that after the first run no network is needed. Tests start
# PostgreSQL clusters of their own in temporary directories: a cluster that the
# distribution may have started is not used.
#
# The servers are the distribution's where it has the major, else those of a pinned npm package
# (tests/postgres/install.sh).
#
# WALHOOK_TEST_PG_BIN   directory of the PostgreSQL programs to test with, in place of --postgres
# WALHOOK_TEST_ROWS     rows of the load test (default: 200000)
# WALHOOK_FUZZ_SECONDS  how long a fuzz target runs (default: 60)
# WALHOOK_TEST_KILLS    how often the daemon is killed under traffic (default: 50)
# WALHOOK_TEST_STOPS    how often Postgres stops under traffic (default: 6)
# WALHOOK_TEST_CUTS     how often the stream is cut, over 64 KiB of it (default: 300)
# WALHOOK_TEST_MIRROR   how many rounds a workload has whose tables are mirrored (default: 12)
# WALHOOK_TEST_SEED     what these do at random (default: another each time; it is printed)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }
fail() {
    printf 'tests/run.sh: %s\n' "$*" >&2
    exit 1
}

long=
majors=
while :; do
    case ${1:-} in
    --long) long=yes ;;
    --postgres)
        majors=${2:-}
        [[ $majors =~ ^1[45678](,1[45678])*$ ]] ||
            fail "--postgres takes majors of 14, 15, 16, 17 and 18 with commas between them, not \"$majors\""
        [ -z "${WALHOOK_TEST_PG_BIN:-}" ] || fail "WALHOOK_TEST_PG_BIN and --postgres exclude each other"
        shift
        ;;
    --postgres=*)
        set -- x --postgres "${1#--postgres=}" "${@:2}"
        ;;
    *) break ;;
    esac
    shift
done

# ---- fuzzing -------------------------------------------------------------------------------

# Needs a nightly toolchain. What is found lies in fuzz/artifacts, and ends the run.
fuzz() {
    local target tools log
    target=${CARGO_TARGET_DIR:-target}
    mkdir -p "$target/tmp"
    tools=$(cd "$target/tmp" && pwd)/tools
    PATH=$tools/bin:$PATH
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    cargo +nightly --version >/dev/null 2>&1 ||
        fail "fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal"
    command -v cargo-fuzz >/dev/null || {
        say "cargo-fuzz"
        cargo install --quiet --locked --root "$tools" cargo-fuzz --version 0.13.2
    }
    # walhook has no unsafe code: without sanitizers it runs several times as often.
    local options=(--fuzz-dir fuzz --sanitizer none --target-dir "$target/fuzz")
    [ $# -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir fuzz)
    [ $# -eq 0 ] || targets=("$@")
    say "building the fuzz targets"
    cargo +nightly fuzz build "${options[@]}"
    for name in "${targets[@]}"; do
        say "fuzzing $name for ${WALHOOK_FUZZ_SECONDS:-60} s"
        log=$target/tmp/fuzz-$name.log
        cargo +nightly fuzz run "${options[@]}" "$name" -- \
            -max_total_time="${WALHOOK_FUZZ_SECONDS:-60}" -max_len=4096 -len_control=20 \
            -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 >"$log" 2>&1 || {
            tail -n 60 "$log" >&2
            fail "$name found something: see $log and fuzz/artifacts/$name"
        }
        awk '/^stat::number_of_executed_units/ { print $2 " executions" }' "$log"
    done
}

if [ "${1:-}" = --fuzz ]; then
    shift
    fuzz "$@"
    exit
fi

# ---- what is missing -----------------------------------------------------------------------

# The distribution's, whatever its major: also with another server its pgbench and psql are used.
have_postgres() {
    command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}
have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

packages=()
have_postgres || packages+=(postgresql postgresql-contrib)
have_venv || packages+=(python3 python3-venv python3-pip)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
command -v systemd-analyze >/dev/null || packages+=(systemd)
command -v dpkg-shlibdeps >/dev/null || packages+=(dpkg-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || packages+=(ca-certificates)
command -v cc >/dev/null || packages+=(build-essential)

if [ ${#packages[@]} -gt 0 ]; then
    say "installing ${packages[*]}"
    command -v apt-get >/dev/null ||
        fail "please install: ${packages[*]} (no apt-get here to do it)"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "please install as root: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${packages[@]}"
    have_postgres || fail "no initdb under /usr/lib/postgresql after the installation"
fi

command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || fail "no cargo: a Rust toolchain is needed (rust-version in Cargo.toml)"

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/tmp"
say "the official verifiers"
sh tests/verify/install.sh "$(cd "$target/tmp" && pwd)/verifiers" ||
    fail "cannot install the official verifiers; the first run needs a network"

say "cargo-deb"
if ! command -v cargo-deb >/dev/null; then
    tools=$(cd "$target/tmp" && pwd)/tools
    [ -x "$tools/bin/cargo-deb" ] ||
        cargo install --quiet --locked --root "$tools" cargo-deb --version 3.8.0 ||
        fail "cannot install cargo-deb; the first run needs a network"
    PATH=$tools/bin:$PATH
fi

# ---- the checks ----------------------------------------------------------------------------

say "cargo fmt"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check

say "cargo clippy"
cargo clippy --locked --all-targets -- -D warnings

say "cargo doc"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet

# ---- the tests -----------------------------------------------------------------------------

# Of the modules of tests/it that are run on every major, as filters for `cargo test`.
on_every_major() {
    sed -n '/^\/\/ On every major/,/^$/s/^mod \(.*\);$/\1::/p' tests/it/main.rs
}

# On major $1; the other arguments go to `cargo test`.
test_on() {
    local programs
    say "cargo test ${*:2} (PostgreSQL $1)"
    programs=$(sh tests/postgres/install.sh "$1" "$(cd "$target/tmp" && pwd)/postgres") ||
        fail "cannot install PostgreSQL $1; the first run needs a network"
    WALHOOK_TEST_PG_BIN=$programs cargo test --locked "${@:2}"
}

if [ -n "${WALHOOK_TEST_PG_BIN:-}" ]; then
    say "cargo test ($WALHOOK_TEST_PG_BIN)"
    cargo test --locked "$@"
elif [ $# -gt 0 ]; then
    for major in $(tr , ' ' <<<"${majors:-15}"); do
        test_on "$major" "$@"
    done
else
    read -ra others <<<"$(tr , ' ' <<<"${majors:-14,15,16,17,18}")"
    whole=${others[0]}
    [[ " ${others[*]} " != *" 15 "* ]] || whole=15
    # They wait more than they work: twice as many at once as there are cores, on two.
    test_on "$whole" -- --test-threads 4
    mapfile -t modules < <(on_every_major)
    [ ${#modules[@]} -gt 0 ] || fail "tests/it/main.rs names no module to run on every major"
    for major in "${others[@]}"; do
        [ "$major" = "$whole" ] || test_on "$major" --test it -- --test-threads 4 "${modules[@]}"
    done
fi

if [ -n "$long" ]; then
    say "the simulator, at length"
    WALHOOK_SIM_SEEDS=${WALHOOK_SIM_SEEDS:-1000000} \
        cargo test --locked --profile sim --test sim the_promises -- --nocapture
fi
