#!/bin/sh
# Installs what the build needs and this machine lacks, from Debian's (or Ubuntu's) own packages. Asks nothing.
#   TORCH=auto|debian|wheel   where libtorch comes from (docs/decisions/001-libtorch.md); auto takes Debian's unless
#                             only a wheel is there
#   CUDA=no|wheel             wheel: also nvcc and what it needs, from PyPI, into build-cuda-wheels/ (docs/cuda.md); 350 MB unpacked, no driver, no root
#   PYTHON=yes                also what `make python` needs, which CI=true implies
#   tools/install_deps.sh --list   prints the packages and installs nothing
set -eu

TORCH=${TORCH:-auto}
CUDA=${CUDA:-no}
cuda_folder=$(dirname "$0")/../build-cuda-wheels
# nvcc alone is a driver of programs that lie in four other wheels; cuobjdump lets a test look into the objects.
cuda_wheels="nvidia-cuda-nvcc nvidia-cuda-crt nvidia-nvvm nvidia-cuda-runtime nvidia-cuda-cccl nvidia-cuda-cuobjdump"
packages="make g++ cmake ninja-build ccache python3 libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev \
zlib1g-dev libeigen3-dev libpcre2-dev libutf8proc-dev libpng-dev libjpeg62-turbo-dev libgtest-dev libbenchmark-dev dataset-fashion-mnist"

say() { echo "install_deps: $*" >&2; }
die() {
  say "$*"
  exit 1
}

has_package() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }
has_wheel() { python3 -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null; }

has_nvcc() { ls "$cuda_folder"/nvidia/cu*/bin/nvcc >/dev/null 2>&1; }

install_cuda_wheels() {
  has_nvcc && return 0
  say "installing nvcc from PyPI into $cuda_folder"
  # shellcheck disable=SC2086
  python3 -m pip install --quiet --no-deps --target "$cuda_folder" $cuda_wheels >&2 ||
    die "pip could not install: $cuda_wheels (its own message is above); is there a network, and python3-pip?"
  chmod +x "$cuda_folder"/nvidia/cu*/bin/* "$cuda_folder"/nvidia/cu*/nvvm/bin/* 2>/dev/null || true
  has_nvcc || die "expected nvcc under $cuda_folder/nvidia, found none: the wheels have changed; give -DGATEWRIGHT_NVCC=<path>"
}

want_debian_torch() {
  case $TORCH in
    debian) return 0 ;;
    wheel)
      has_wheel || die "TORCH=wheel: python3 finds no torch; install it first (\`pip install torch\`; ask for its CPU build, the default one pulls gigabytes of CUDA)"
      return 1 ;;
    auto) has_package libtorch-dev || ! has_wheel ;;
    *) [ -d "$TORCH/include" ] || die "expected TORCH to be auto, debian, wheel or the folder of an unpacked libtorch, got \"$TORCH\""
      return 1 ;;
  esac
}

# OpenBLAS by name: with the reference BLAS, which may be the default, Debian's libtorch multiplies 40 times slower. The kind with
# OpenMP's threads: its own and OpenMP's wait for one another (docs/decisions/024-one-pool-of-threads.md).
if want_debian_torch; then packages="$packages libtorch-dev libopenblas0-openmp"; fi
# The browser test skips without a browser; where everything must be tested it must not (22 seconds, 300 MB).
if [ "${CI:-}" = true ] && ! command -v chromium >/dev/null; then packages="$packages chromium fonts-dejavu-core"; fi
# The Python package's tests want a virtual environment and a compiler's view of Python; where everything must be tested they must not skip.
if [ "${CI:-}" = true ] || [ "${PYTHON:-}" = yes ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"
  python3 -c 'import sys, sysconfig, os; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' 2>/dev/null ||
    packages="$packages python3-dev"
fi
if [ "${1:-}" = --list ]; then
  echo "$packages"
  exit 0
fi
case $CUDA in
  no) ;;
  wheel) install_cuda_wheels ;;
  *) die "expected CUDA to be no or wheel, got \"$CUDA\"" ;;
esac
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  say "this system has no apt: not installing anything; the build needs what these Debian packages hold:" $packages
  exit 0
fi

missing=""
for package in $packages; do
  has_package "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "neither root nor sudo is at hand; as root: apt-get install$missing (or DEPS=no make …, with what is there)"
  root="sudo"
fi
apt() { $root env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=300 "$@"; }

say "installing$missing"
lists_know_all() {
  for package in $missing; do
    apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || return 1
  done
}
lists_know_all || apt update >&2 || die "the package lists cannot be fetched: is there a network? missing:$missing"
lists_know_all || die "the package lists do not hold all of:$missing; Debian 12 or newer is expected"
# Old lists name versions that the mirror has dropped: refresh them once before giving up.
# shellcheck disable=SC2086
apt install --no-install-recommends $missing >&2 || { apt update >&2 && apt install --no-install-recommends $missing >&2; } ||
  die "apt-get could not install:$missing (its own message is above); is there a network?"
