#!/usr/bin/env bash
# Runs a command with the simulator's libraries in the place of CANN: scripts/npu_env.sh python -c "import torch_npu"
# NPU_BUILD: the build folder (build/npu). ASCEND_SIM_CANN: the version it claims to be (8.5.0). What is set stays set.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="${NPU_BUILD:-$root/build/npu}"
if [ ! -e "$build/lib/libascendcl.so" ]; then
  echo "npu_env.sh: $build/lib/libascendcl.so does not exist; 'make npu-build' makes it" >&2
  exit 1
fi
export ASCEND_SIM_CANN="${ASCEND_SIM_CANN:-8.5.0}"
# What stands where a CANN would be installed: only its version, and the folder that operators are looked up in.
home="$build/cann-$ASCEND_SIM_CANN"
if [ ! -e "$home/version.info" ]; then
  mkdir -p "$home/opp" "$home/lib64" "$home/runtime" "$home/compiler"
  printf 'version=%s\n' "$ASCEND_SIM_CANN" > "$home/ascend_toolkit_install.info"
  printf 'Version=%s\nversion_dir=%s\n' "$ASCEND_SIM_CANN" "$ASCEND_SIM_CANN" > "$home/version.info.$$"
  mv "$home/version.info.$$" "$home/version.info"
fi
export ASCEND_HOME_PATH="${ASCEND_HOME_PATH:-$home}"
export ASCEND_OPP_PATH="${ASCEND_OPP_PATH:-$home/opp}"
export LD_LIBRARY_PATH="$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export TRIANGLE_ATTN_NPU_LIBRARY="${TRIANGLE_ATTN_NPU_LIBRARY:-$build/lib/libtriangle_attn_npu.so}"
export ASCEND_SIM_STREAMS="${ASCEND_SIM_STREAMS:-late}"
export ASCEND_SIM_FINDINGS="${ASCEND_SIM_FINDINGS:-error}"
export ASCEND_SIM_AUTO_SYNC="${ASCEND_SIM_AUTO_SYNC:-0}"  # the kernels are built with --cce-auto-sync=off
export ASCEND_SIM_POISON="${ASCEND_SIM_POISON:-1}"
exec "$@"
