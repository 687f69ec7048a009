/* What the machine can do: one pass of work that a clock around it turns into FLOP/s or bytes/s (bench/roofline.py). */
enum { FD_PASS_FMA = 0, FD_PASS_READ = 1, FD_PASS_COPY = 2, FD_PASS_TRIAD = 3 };
typedef struct {
    int pass;
    long chunks;        /* shared out over the threads */
    long n;             /* FMA: repetitions of 12 vectors in each chunk; otherwise floats in each chunk */
    const float *a, *b; /* chunks * n floats; b for triad, c = a + 3 b */
    float *c;           /* chunks * n floats; FMA and READ: one float for each chunk */
    long *flops;        /* FMA: multiplications and additions done by all chunks */
} fd_roofline_args;
