#!/usr/bin/env bash
# A check of the checks: plants each bug of tests/planted/bugs alone into a copy of the tree,
# and runs the tests that are to catch it. Takes about half an hour; not a part of the tests.
#
#   tests/planted/run.sh            all of them; renews the table in tests/planted/README.md
#   tests/planted/run.sh NAME ...   those whose name has NAME in it; the table stays as it is
#
# A bug is a file: what it is, the source file, the tests, the text and what takes its place.
# Tests are named as "lib NAME", "sim NAME" or "it NAME": the target of `cargo test`, and its
# filter; the first that catches it will do (WALHOOK_PLANTED_ALL=1 runs the others, too).
# The copy is of HEAD: commit first.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
bugs=$root/tests/planted/bugs
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}/planted
export RUST_BACKTRACE=0 CARGO_TERM_COLOR=never

copy=$(mktemp -d)
trap 'git worktree remove --force "$copy/tree"; rm -rf "$copy"' EXIT
git worktree add --quiet --detach "$copy/tree" HEAD
cd "$copy/tree"

field() { sed -n "s/^$1: //p" "$2"; }

# Puts a bug's text in the place of the right one, which must be there once.
plant() {
    python3 - "$1" <<'PYTHON'
import re, sys
text = open(sys.argv[1]).read()
head, rest = text.split("<<<<\n", 1)
right, rest = rest.split("\n====\n", 1)
wrong = rest.rsplit(">>>>\n", 1)[0].removesuffix("\n")
path = re.search(r"^file: (.*)$", head, re.M).group(1)
source = open(path).read()
if source.count(right) != 1:
    sys.exit(f"{sys.argv[1]}: its text is {source.count(right)} times in {path}")
open(path, "w").write(source.replace(right, wrong))
PYTHON
}

# caught, missed, or why neither can be said.
verdict() {
    local target=$1 filter=$2 log=$copy/log flags=(--lib)
    [ "$target" = lib ] || flags=(--test "$target")
    if timeout 600 cargo test --locked "${flags[@]}" --no-run >"$log" 2>&1; then :; else
        echo "does not build"
        return
    fi
    if timeout 600 cargo test --locked --quiet "${flags[@]}" -- "$filter" >"$log" 2>&1; then
        if grep -Eq '^test result: ok\. [1-9]' "$log"; then echo missed; else echo "no such test"; fi
    else
        echo caught
    fi
}

wanted() {
    [ $# -eq 1 ] && return 0
    local name=$1 part
    shift
    for part in "$@"; do [[ $name == *$part* ]] && return 0; done
    return 1
}

table=$copy/table
missed=0 count=0
for bug in "$bugs"/*.bug; do
    name=$(basename "$bug" .bug)
    wanted "$name" "$@" || continue
    count=$((count + 1))
    plant "$bug"
    by=()
    while read -r target filter; do
        said=$(verdict "$target" "$filter" </dev/null)
        printf '%-44s %-60s %s\n' "$name" "$target $filter" "$said"
        if [ "$said" = caught ]; then
            by+=("\`$target $filter\`")
            [ -n "${WALHOOK_PLANTED_ALL:-}" ] || break
        fi
    done < <(field test "$bug")
    git checkout --quiet -- .
    if [ ${#by[@]} -eq 0 ]; then
        missed=$((missed + 1))
        printf '%-44s MISSED\n' "$name"
        by=("**nothing**")
    fi
    joined=$(printf ', %s' "${by[@]}")
    printf '| %s | %s | `%s` | %s |\n' "${name%%-*}" "$(field what "$bug")" "$(field file "$bug")" "${joined:2}" >>"$table"
done

say="$count bugs planted, $((count - missed)) caught, $missed missed"
echo "$say"
if [ $# -eq 0 ]; then
    {
        cat <<TEXT
# Planted bugs

\`tests/planted/run.sh\` plants each of these bugs alone and runs the tests that are to catch it.
This table is what it found last: $say.

| | bug | in | caught by |
|---|---|---|---|
TEXT
        cat "$table"
    } >"$root/tests/planted/README.md"
fi
[ "$missed" -eq 0 ]
