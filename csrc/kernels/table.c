/* The kernel table of one ISA. */
#include "fastdl.h"
#include "simd/simd.h"

#define FD_DECLARE(name) int FN(fd_##name##_f32)(const fd_##name##_args *);
FD_KERNELS(FD_DECLARE)

#define FD_STRING_(x) #x
#define FD_STRING(x) FD_STRING_(x)
#define FD_ENTRY(name) .name = FN(fd_##name##_f32),
extern const fd_kernels FN(fd_kernels);
const fd_kernels FN(fd_kernels) = {.isa = FD_STRING(FD_ISA), FD_KERNELS(FD_ENTRY)};
