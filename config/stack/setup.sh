#!/usr/bin/env bash
# Makes the virtual environment and installs the pinned requirements; does nothing when they are the same as last time.
# Usage: setup.sh VENV REQUIREMENTS...   PYTHON names the interpreter (python3).
set -euo pipefail

venv=$1
shift
python=${PYTHON:-python3}
stamp=$venv/requirements.stamp

fail() {
    printf 'event-center: %s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python on the PATH; install Python 3.11 or newer, or set PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; Python 3.11 or newer is needed. Another one can be named: make run PYTHON=python3.12"

# The interpreter belongs to the fingerprint: packages of one Python do not work in another.
fingerprint=$("$python" - "$@" <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(sys.version.encode())
for name in sys.argv[1:]:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
)
if [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$fingerprint" ]]; then
    exit 0
fi

started=$SECONDS
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null || ! "$venv/bin/python" -c "import sys; sys.exit(sys.version_info[:2] != tuple(map(int, '$("$python" -c 'import sys; print("%d %d" % sys.version_info[:2])')'.split())))"; then
    "$python" -c 'import ensurepip' 2>/dev/null ||
        fail "$python cannot make virtual environments (it has no ensurepip)." \
            "On Debian and Ubuntu: apt-get install python3-venv. Elsewhere: install your distribution's package for venv, or set PYTHON."
    echo "[setup] making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
echo "[setup] installing $* into $venv (the first time takes about a minute)"
rm -f "$stamp"
requirements=()
for file in "$@"; do requirements+=(-r "$file"); done
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input "${requirements[@]}" | while IFS= read -r line; do
    case $line in
    "Collecting "* | "Installing "* | "Successfully "*) printf '[setup] %.150s\n' "$line" ;;
    esac
done
echo "$fingerprint" >"$stamp"
echo "[setup] done in $((SECONDS - started)) s"
