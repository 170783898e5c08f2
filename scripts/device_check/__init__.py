"""The kernels compiled as code of the device by clang, which stands in for CANN's compiler: scripts/check_device.py."""
