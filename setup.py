"""Builds csrc/ once per ISA and the Cython modules. Everything is discovered; there is no list of files to edit.

What is compiled:
  csrc/*.c                 once, for the baseline ISA (dispatch, threads, memory)
  csrc/ukr, csrc/kernels   once per ISA of ISA_FLAGS that the compiler accepts, symbols suffixed with the ISA's name
  fastdl/**/*.pyx          Cython: `_native` is the only module linked with csrc, the others reach it through its table
  COMPILED                 plain Python modules that Cython also compiles, to take the interpreter out of the hot path

Without a working compiler nothing of this is built; the package then runs on its NumPy rungs and `fastdl info` says so.
"""

import os
import platform
import shlex
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
JOBS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# -ffp-contract=fast: gnu11 would not fuse a*b+c otherwise. No -ffast-math: masks use inf, checks use NaN.
BASE_FLAGS = [
    "-std=gnu11",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-pthread",
    "-g0",
    "-Wall",
    "-Wextra",
    "-Wno-unused-function",
    "-Wno-psabi",
]
# Vectorisation is written out; the auto-vectoriser only adds spills around the register tiles.
ISA_COMMON = ["-fno-tree-vectorize"]
ISA_FLAGS = {"generic": []}
if IS_X86:
    ISA_FLAGS["avx2"] = ["-mavx2", "-mfma", "-mtune=znver3"]
    ISA_FLAGS["avx512"] = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mtune=znver3"]

# Plain Python on the way of every small op. Compiling the others would cost build time and size for nothing.
COMPILED = ["fastdl/autograd.py", "fastdl/tape.py"]
COMPILED += [
    f"fastdl/ops/{name}.py"
    for name in "_dtypes _quiet _shapes activation elementwise index matmul reduce shape softmax unary".split()
]
COMPILED += [f"fastdl/kernels/{name}.py" for name in ("_memory", "_registry", "_shapes", "arithmetic", "matmul")]
COMPILED += ["fastdl/detection/_loops.py"]  # loops that NumPy cannot do
HOTTEST = {"fastdl/autograd.py", "fastdl/tape.py"}  # -O1 takes 0.2 microseconds off an op here, for 24 KB each
SHARED = "fastdl._cython"  # what Cython would otherwise write into every module, 2 to 5 KB each
CYTHON_FLAGS = ["-Os", "-g0", "-Wno-unused-function", "-Wno-cpp", "-ffunction-sections"]
if IS_X86:
    CYTHON_FLAGS += ["-fno-asynchronous-unwind-tables"]  # a tenth of the size; nothing unwinds through these modules
CSRC_FLAGS = shlex.split(os.environ.get("CSRC_CFLAGS", ""))  # for tools/sanitize.sh; last on the line, so they win
# Python's own semantics for indexing, division and annotations: the same .py files also run uncompiled.
DIRECTIVES = {"language_level": "3", "annotation_typing": False}


def newest(paths):
    return max((os.path.getmtime(p) for p in paths), default=0.0)


class BuildExt(build_ext):
    def run(self):
        if not self.compiles([]):
            print("fastdl: no working C compiler found; installing without compiled kernels (NumPy rungs only)")
            self.extensions = []
            return
        self.parallel = self.parallel or JOBS
        try:
            super().run()
        except Exception as error:
            if self.inplace or os.environ.get("CI"):
                raise
            print(f"fastdl: the C build failed ({error}); installing without compiled kernels (NumPy rungs only)")
            self.extensions = []

    def finalize_options(self):
        super().finalize_options()
        if self.compiles([]):
            self.cythonize()

    def cythonize(self):
        """Name the Extension objects after their module; COMPILED and .pyx files alike."""
        import numpy
        from Cython.Build import cythonize

        api = glob("csrc/*.h", root_dir=ROOT) + glob("csrc/args/*.h", root_dir=ROOT)
        sources = COMPILED + sorted(glob("fastdl/**/*.pyx", root_dir=ROOT, recursive=True))
        extensions = [
            Extension(
                source.rsplit(".", 1)[0].replace("/", "."),
                [source],
                include_dirs=["csrc", numpy.get_include()],
                define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"), ("CYTHON_USE_TYPE_SPECS", "0")],
                extra_compile_args=[*CYTHON_FLAGS, "-O1"] if source in HOTTEST else CYTHON_FLAGS,
                extra_link_args=["-Wl,-s", "-Wl,--gc-sections"] if sys.platform == "linux" and not CSRC_FLAGS else [],
                # the flags; and for what reaches into csrc the offsets of the table and the structs
                depends=["setup.py", *(api if source.endswith(".pyx") else [])],
            )
            for source in sources
            if (ROOT / source).exists()
        ]
        shared = Extension(
            SHARED,
            ["fastdl/_cython.c"],
            extra_compile_args=CYTHON_FLAGS,
            extra_link_args=extensions[0].extra_link_args,
        )
        self.extensions.clear()
        for kind, directives in ((".py", DIRECTIVES), (".pyx", {**DIRECTIVES, "binding": False})):
            # Rungs (.pyx) are called, never inspected: without binding a wrapper is a third smaller.
            self.extensions += cythonize(
                [e for e in extensions if e.sources[0].endswith(kind)] + ([shared] if kind == ".py" else []),
                compiler_directives=directives,
                build_dir="build/cython",
                shared_utility_qualified_name=SHARED,
                nthreads=0,
                quiet=True,
            )
        for extension in self.extensions:  # what setuptools' own finalize_options sets per extension
            extension._full_name = extension.name
            extension._links_to_dynamic = False
            extension._needs_stub = False
            extension._file_name = self.get_ext_filename(extension.name)

    def compiles(self, flags):
        """Can the C compiler of this machine turn a small file into an object with these flags?"""
        key = tuple(flags)
        cache = self.__dict__.setdefault("_compiles", {})
        if key not in cache:
            from distutils.ccompiler import new_compiler
            from distutils.sysconfig import customize_compiler

            with tempfile.TemporaryDirectory() as folder:
                probe = Path(folder, "probe.c")
                probe.write_text("#include <pthread.h>\n#include <Python.h>\nint main(void) { return 0; }\n")
                try:
                    compiler = new_compiler()
                    customize_compiler(compiler)
                    compiler.compile(
                        [str(probe)], output_dir=folder, include_dirs=self.include_dirs or [], extra_postargs=flags
                    )
                    cache[key] = True
                except Exception:
                    cache[key] = False
        return cache[key]

    def build_extension(self, ext):
        if ext.name == "fastdl._native":
            ext.extra_objects = self.build_csrc(ext)
            ext.extra_link_args = [*ext.extra_link_args, "-pthread"]
            target = self.get_ext_fullpath(ext.name)
            if os.path.exists(target) and newest(ext.extra_objects) > os.path.getmtime(target):
                os.unlink(target)
        super().build_extension(ext)

    def build_csrc(self, ext):
        """Compile csrc, each file once per ISA where it lies in ukr/ or kernels/; returns the objects."""
        headers = newest([*glob("csrc/**/*.h", root_dir=ROOT, recursive=True), "setup.py"])
        isas = [isa for isa, flags in ISA_FLAGS.items() if isa == "generic" or self.compiles(flags)]
        have = [(f"FD_HAVE_{isa.upper()}", "1") for isa in isas]
        jobs = [(source, None) for source in sorted(glob("csrc/*.c", root_dir=ROOT))]
        for folder in ("ukr", "kernels"):
            jobs += [(s, isa) for isa in isas for s in sorted(glob(f"csrc/{folder}/*.c", root_dir=ROOT))]

        def compile_one(job):
            source, isa = job
            folder = os.path.join(self.build_temp, f"isa_{isa}" if isa else "once")
            target = os.path.join(folder, os.path.splitext(source)[0] + ".o")
            if not os.path.exists(target) or os.path.getmtime(target) < max(headers, os.path.getmtime(source)):
                macros = [*have, ("_GNU_SOURCE", "1")]
                flags = list(BASE_FLAGS)
                if isa:
                    macros += [("FD_ISA", isa), (f"FD_ISA_{isa.upper()}", "1")]
                    flags += ISA_COMMON + ISA_FLAGS[isa]
                    if IS_X86 and isa == "generic" and "kernels" in Path(source).parts:
                        flags += ["-Os"]  # machines of before 2013; half the size. The tiles need their loops unrolled
                self.compiler.compile(
                    [source],
                    output_dir=folder,
                    include_dirs=["csrc"],
                    macros=macros,
                    extra_postargs=flags + CSRC_FLAGS,
                )
            return target

        with ThreadPoolExecutor(JOBS) as pool:
            return list(pool.map(compile_one, jobs))


setup(
    # `fastdl study` and `fastdl bench` read the same cases and workloads as the tests: one list, many readers
    packages=[*find_packages(include=["fastdl*"]), "fastdl._cases", "fastdl._bench"],
    package_dir={"fastdl._cases": "tests/cases", "fastdl._bench": "bench"},
    py_modules=["fastdl_cli"],
    # A placeholder makes setuptools run build_ext and tag the wheel as a platform wheel; cythonize() replaces it.
    ext_modules=[Extension("fastdl._native", ["fastdl/_native.pyx"])],
    cmdclass={"build_ext": BuildExt},
)
