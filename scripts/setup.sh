# Makes .venv ready. Sourced by scripts/run and scripts/test; not a program of its own.
#
# Needs Python >= 3.11 with pip: `python3`, or the one that PYTHON names. The packages are those of
# uv.lock, installed by uv. Where pip has an index of its own, or uv cannot do it, pip installs them,
# held to the same versions if the index has them. The next run does nothing until pyproject.toml,
# uv.lock, this file, the folder or PYTHON change.
#
# Leaves `root` (the project) and `venv` (its environment) to the script that sourced it.

set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$root/.venv
stamp=$venv/.set-up

say() { printf 'set-up: %s\n' "$1" >&2; }

fail() {
    cat "$log" >&2
    rm -f "$log"
    say "$1"
    exit 1
}

inside() { "$venv/bin/python" "$@" >>"$log" 2>&1; }

set_up() {
    wanted=$(printf '%s\n' "$root" && cat "$root/pyproject.toml" "$root/uv.lock" "$root/scripts/setup.sh" | cksum)
    if has_right_python && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    log=$(mktemp)
    if ! has_right_python || [ "$(head -n 1 "$stamp" 2>/dev/null)" != "$root" ]; then
        make_venv
    fi
    rm -f "$stamp"
    install_with_uv || install_with_pip || fail "the packages cannot be installed; what was tried stands above"
    printf '%s\n' "$wanted" >"$stamp"
    rm -f "$log"
}

# True if .venv works and, where PYTHON is given, was made by that version.
has_right_python() {
    version='import sys; print(sys.version)'
    mine=$("$venv/bin/python" -c "$version" 2>/dev/null) || return 1
    [ -z "${PYTHON-}" ] || [ "$("$PYTHON" -c "$version" 2>/dev/null)" = "$mine" ]
}

make_venv() {
    python=${PYTHON:-python3}
    found=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) ||
        fail "'$python' does not run. Install Python 3.11 or newer, or name one: PYTHON=python3.12 sh $0"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "'$python' is Python $found, and 3.11 or newer is needed. Name one: PYTHON=python3.12 sh $0"

    say "making .venv with Python $found"
    rm -rf "$venv"
    if "$python" -m venv "$venv" >>"$log" 2>&1; then
        return
    fi

    # Debian keeps ensurepip in a package of its own; the pip outside can do its work.
    rm -rf "$venv"
    if "$python" -m venv --without-pip "$venv" >>"$log" 2>&1 &&
        "$python" -m pip --quiet --python "$venv/bin/python" install pip >>"$log" 2>&1; then
        return
    fi

    # Or the whole of venv is missing.
    rm -rf "$venv" "$venv.tool"
    if "$python" -m pip --quiet install --target "$venv.tool" virtualenv >>"$log" 2>&1 &&
        PYTHONPATH="$venv.tool" "$python" -m virtualenv --quiet "$venv" >>"$log" 2>&1; then
        rm -rf "$venv.tool"
        return
    fi
    rm -rf "$venv" "$venv.tool"
    fail "no environment can be made with '$python': install its venv module and pip (Debian, Ubuntu: apt install python3-venv python3-pip)"
}

# uv takes each file from the address in uv.lock, so it would pass by an index that only pip knows.
install_with_uv() {
    if "$venv/bin/python" -m pip config list 2>/dev/null | grep -Eq '\.(index-url|no-index)='; then
        return 1
    fi
    say "installing the packages of uv.lock"
    if { inside -m uv --version || inside -m pip --quiet install 'uv>=0.9'; } &&
        UV_PROJECT_ENVIRONMENT="$venv" VIRTUAL_ENV="$venv" inside -m uv sync \
            --project "$root" --python "$venv/bin/python" --frozen --all-groups --quiet; then
        return
    fi
    say "uv cannot install them here; going on with pip"
    return 1
}

install_with_pip() {
    say "installing with pip, in the versions of uv.lock"
    inside - "$root" "$venv" <<'PY' || return
"""Write what pip cannot read: the groups of pyproject.toml, the versions of uv.lock."""
import pathlib
import sys
import tomllib

root, venv = map(pathlib.Path, sys.argv[1:])
groups = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
packages = tomllib.loads((root / "uv.lock").read_text("utf-8"))["package"]
names = [package["name"] for package in packages]


def lines(group):
    for item in groups[group]:
        if isinstance(item, str):
            yield item
        else:
            yield from lines(item["include-group"])


wanted = sorted({line for group in groups for line in lines(group)})
# A package that is locked in several versions, one for each kind of machine, is left to pip.
locked = [
    f"{package['name']}=={package['version']}"
    for package in packages
    if "registry" in package["source"] and names.count(package["name"]) == 1
]
(venv / "groups.txt").write_text("\n".join(wanted) + "\n", "utf-8")
(venv / "locked.txt").write_text("\n".join(locked) + "\n", "utf-8")
PY
    set -- -m pip --quiet install --requirement "$venv/groups.txt" --editable "$root"
    inside "$@" --constraint "$venv/locked.txt" && return
    say "not every version of uv.lock is to be had; taking those that pyproject.toml allows"
    inside "$@"
}

set_up
