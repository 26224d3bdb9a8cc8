#!/usr/bin/env bash
# Makes the virtual environment ($1, default .venv) with everything in it, and installs missing system libraries where it may.
set -euo pipefail
cd "$(dirname "$0")/.."
V=${1:-.venv}
say() { printf '[setup %3ds] %s\n' "$SECONDS" "$*"; }

# 1. system libraries for a Qt window, and a virtual screen where there is none
missing=()
need() { "${@:2}" >/dev/null 2>&1 || missing+=("$1"); }
libs=$({ ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null || true) # read once: 'ldconfig | grep -q' fails at random under pipefail
has_so() { [[ $libs == *"$1 "* ]]; }
if [ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null; then
  need python3-venv sh -c 'command -v python3 && python3 -c "import ensurepip"'
  need xvfb command -v Xvfb
  need xauth command -v xauth
  for p in libegl1:libEGL.so.1 libgl1:libGL.so.1 libglib2.0-0:libglib-2.0.so.0 libfontconfig1:libfontconfig.so.1 \
           libdbus-1-3:libdbus-1.so.3 libxkbcommon-x11-0:libxkbcommon-x11.so.0 libxcb-cursor0:libxcb-cursor.so.0 \
           libxcb-icccm4:libxcb-icccm.so.4 libxcb-keysyms1:libxcb-keysyms.so.1 libxcb-shape0:libxcb-shape.so.0; do
    need "${p%%:*}" has_so "${p##*:}"
  done
  need libgl1-mesa-dri sh -c 'ls /usr/lib/*/dri/swrast_dri.so'
  need fonts-dejavu-core sh -c 'ls -d /usr/share/fonts/truetype/*/*.ttf'
  if [ ${#missing[@]} -gt 0 ]; then
    say "missing system packages: ${missing[*]}"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then
      "${as_root[@]}" apt-get update -qq
      DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
      echo "run: sudo apt-get install ${missing[*]}" >&2
      exit 1
    fi
  fi
fi

# 2. a Python of 3.11 or later, and uv inside the environment itself
python=
for p in python3 python3.13 python3.12 python3.11; do
  if command -v "$p" >/dev/null && "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$p; break; fi
done
[ -n "$python" ] || { echo "napari-rleseg needs Python 3.11 or later, and found none: install it, then run make again" >&2; exit 1; }
[ -x "$V/bin/uv" ] || { "$python" -m venv "$V" && "$V/bin/pip" install -q --disable-pip-version-check uv; }
say "environment: $("$V/bin/python" --version), $("$V/bin/uv" --version)"

# 3. PyTorch: a wheel folder that pip is set up with wins; otherwise uv chooses the CPU or the CUDA build by the driver
: "${UV_FIND_LINKS:=${PIP_FIND_LINKS:-$("$V/bin/pip" config get global.find-links 2>/dev/null || true)}}"
if [ -n "$UV_FIND_LINKS" ]; then export UV_FIND_LINKS; else unset UV_FIND_LINKS; export UV_TORCH_BACKEND=${UV_TORCH_BACKEND:-auto}; fi
VIRTUAL_ENV="$PWD/$V" "$V/bin/uv" pip install -q --python "$V/bin/python" -c constraints.txt -e '.[pyside6]' --group dev
say "installed: torch $("$V/bin/python" -c 'import torch; print(torch.__version__)')"
