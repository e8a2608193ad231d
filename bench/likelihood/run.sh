#!/bin/sh
# Side by side with R: installs flexmix and mixtools from Debian when asked (R_DEPS=yes), fits their data with both, prints the table.
# Usage: bench/likelihood/run.sh BUILD [OUT] [large]      BUILD was configured with -DGATEWRIGHT_BENCH=ON
set -eu
build=$1
out=${2:-$build/bench-stats}
large=${3:-}
bench=$build/bin/bench_mixture
[ -x "$bench" ] || { echo "run.sh: $bench is missing: configure with -DGATEWRIGHT_BENCH=ON and build bench_mixture" >&2; exit 2; }
if [ "${R_DEPS:-no}" = yes ]; then
  root=""
  [ "$(id -u)" = 0 ] || root=sudo
  $root apt-get install -y -q --no-install-recommends r-base-core r-cran-flexmix r-cran-mixtools
fi
command -v Rscript >/dev/null || { echo "run.sh: Rscript is missing: R_DEPS=yes installs r-base-core, r-cran-flexmix, r-cran-mixtools" >&2; exit 2; }
mkdir -p "$out"
if [ -n "$large" ]; then "$bench" --write "$out"; fi
Rscript "$(dirname "$0")/fit.R" "$out" $large
exec "$bench" --compare "$out"
