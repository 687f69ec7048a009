/* An LSTM whose state is a line of R cells and whose state-to-state map is a convolution of K taps along it; C-contiguous.
 *   v = gates_s[r] + sum_k W_k h_{s-1}[r - left + k];  i, f, o = sigmoid, g = tanh;  c = f c + i g,  y = h = o tanh c */
typedef struct {
    long S, B, R, H, K, left;
    const float *w; /* (K H, 4H); backward: (4H, K H) */
    float *gates;   /* (S, B, R, 4H): the input's part, overwritten by the gates in the order i f g o; backward reads them */
    float *y;       /* (S, B, R, H) */
    float *cells;   /* (S, B, R, H) */
    /* backward only */
    const float *dy; /* (S, B, R, H) */
    float *dgates;   /* (S, B, R, 4H) */
} fd_conv_lstm_args;
typedef fd_conv_lstm_args fd_conv_lstm_backward_args;
