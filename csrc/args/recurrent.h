/* One layer and direction of a recurrent network over a whole sequence; every array is C-contiguous.
 *
 * Gates are stacked in w_ih, w_hh, b_ih, b_hh as G blocks of H rows: LSTM i f g o (G = 4), GRU r z n (G = 3), RNN one.
 * Step s works on time t = s, or t = T-1-s where `reverse`. What forward saves for backward are `gates` and `cells`. */
typedef struct {
    long T, B, D, H;
    int reverse;
    int relu;          /* RNN: relu in place of tanh */
    const float *x;    /* (T, B, D) */
    const float *h0;   /* (B, H) */
    const float *c0;   /* (B, H); LSTM */
    const float *w_ih; /* (G H, D) */
    const float *w_hh; /* (G H, H) */
    const float *b_ih; /* (G H,) or NULL */
    const float *b_hh; /* (G H,) or NULL */
    float *y;          /* (T, B, H): h_t; written by forward, read by backward, like the next two */
    float *gates;      /* (T, B, G H): the gates after their activation; RNN: y itself */
    float *cells;      /* (T, B, H): c_t of the LSTM, W_hn h + b_hn of the GRU */
    /* backward only */
    const float *dy;  /* (T, B, H) */
    const float *dhT; /* (B, H) */
    const float *dcT; /* (B, H); LSTM */
    float *dx;        /* (T, B, D), or NULL: not wanted */
    float *dh0, *dc0; /* (B, H) */
    float *dw_ih, *dw_hh;
    float *db_ih; /* (G H,): of b_ih, and of b_hh too but for the GRU */
    float *db_hh; /* (G H,); GRU */
} fd_recurrent_args;
typedef fd_recurrent_args fd_lstm_args, fd_lstm_backward_args;
typedef fd_recurrent_args fd_gru_args, fd_gru_backward_args;
typedef fd_recurrent_args fd_rnn_args, fd_rnn_backward_args;
