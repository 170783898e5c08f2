#!/usr/bin/env bash
# Builds one wheel into dist/, on a plain machine or in a container that has CANN: scripts/build_wheel.sh npu|cpu
# npu: with the kernels for the CANN that is installed; cpu: without, even where there is a CANN.
# TORCH: what to build against (torch==2.13.0+cpu). Where make or g++ is missing, root gets it by apt-get.
set -eo pipefail  # not -u: CANN's set_env.sh uses variables that may be unset
part="${1:?npu or cpu}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$part" = npu ]; then
  for folder in "$ASCEND_HOME_PATH" "$ASCEND_TOOLKIT_HOME" /usr/local/Ascend/cann /usr/local/Ascend/ascend-toolkit/latest; do
    for script in "$folder/set_env.sh" "$folder/../set_env.sh"; do
      if [ -n "$folder" ] && [ -f "$script" ] && [ -z "$found" ]; then
        found="$script"
      fi
    done
  done
  if [ -z "$found" ] && [ -z "$ASCEND_HOME_PATH$ASCEND_TOOLKIT_HOME" ]; then
    echo "build_wheel.sh: no CANN: neither ASCEND_HOME_PATH nor ASCEND_TOOLKIT_HOME is set and /usr/local/Ascend has no set_env.sh" >&2
    exit 1
  fi
  # shellcheck disable=SC1090
  if [ -n "$found" ]; then source "$found"; fi
else
  unset ASCEND_HOME_PATH ASCEND_TOOLKIT_HOME
fi

missing=()
for tool in make g++ readelf; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "build_wheel.sh: missing: ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -q && apt-get install -qy make g++ binutils
fi

export PIP_EXTRA_INDEX_URL="${PIP_EXTRA_INDEX_URL:-https://download.pytorch.org/whl/cpu}"
make wheel TORCH="${TORCH:-torch==2.13.0+cpu}"
case "$part $(ls dist)" in
  npu*+cann*) ;;
  npu*) echo "build_wheel.sh: the wheel has no NPU part" >&2; exit 1 ;;
esac
