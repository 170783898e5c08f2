// libhccl.so: communication between NPUs. Not emulated: each call returns HCCL_E_NOT_SUPPORT and sets a text that names
// it.
#include "acl/unsupported.h"

#define HCCL_UNSUPPORTED(name) ASCEND_SIM_UNSUPPORTED(name, 5)

HCCL_UNSUPPORTED(HcclAllGather)
HCCL_UNSUPPORTED(HcclAllGatherV)
HCCL_UNSUPPORTED(HcclAllReduce)
HCCL_UNSUPPORTED(HcclAlltoAll)
HCCL_UNSUPPORTED(HcclAlltoAllV)
HCCL_UNSUPPORTED(HcclAlltoAllVC)
HCCL_UNSUPPORTED(HcclBatchSendRecv)
HCCL_UNSUPPORTED(HcclBroadcast)
HCCL_UNSUPPORTED(HcclCommDestroy)
HCCL_UNSUPPORTED(HcclCommInitAll)
HCCL_UNSUPPORTED(HcclCommInitClusterInfoConfig)
HCCL_UNSUPPORTED(HcclCommInitRootInfo)
HCCL_UNSUPPORTED(HcclCommInitRootInfoConfig)
HCCL_UNSUPPORTED(HcclCreateSubCommConfig)
HCCL_UNSUPPORTED(HcclGetCommAsyncError)
HCCL_UNSUPPORTED(HcclGetCommName)
HCCL_UNSUPPORTED(HcclGetRootInfo)
HCCL_UNSUPPORTED(HcclRecv)
HCCL_UNSUPPORTED(HcclReduce)
HCCL_UNSUPPORTED(HcclReduceScatter)
HCCL_UNSUPPORTED(HcclReduceScatterV)
HCCL_UNSUPPORTED(HcclScatter)
HCCL_UNSUPPORTED(HcclSend)

// torch_npu configures determinism of the communication when it starts; there is none to configure.
extern "C" int32_t HcclSetConfig(int32_t, int64_t) { return 0; }
