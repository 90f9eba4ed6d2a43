"""The parts of docstrings that all estimators share: parameters, attributes, equations, sources."""

from inspect import cleandoc

_SHARED_DOCUMENTATION = {
    "network": """
    hidden_size : int, default=32
        Hidden units of each layer (and direction).

    num_layers : int, default=1
        LSTM layers, each of which reads the hidden states of the one below.
""",
    "parameters": """
    bidirectional : bool, default=False
        Whether each layer also has cells that read the sequence from its end to its start [6]_. The
        next layer reads both; so does the linear layer: the final hidden states of both, or those of
        each time step with `return_sequences`.

    dropout : float, default=0.0
        Share of each layer's outputs that are dropped in training where the next layer, or the linear
        layer, reads them, anew at each time step.

    recurrent_dropout : float, default=0.0
        Share of the hidden state that is dropped in training where the gates of the next time step
        read it, with one choice for all time steps of a sequence [7]_.

    return_sequences : bool, default=False
        Whether there is a target for each time step, to which the linear layer maps the hidden
        state of that step.

    stateful : bool, default=False
        Whether the samples are consecutive windows of one series, each of which starts from the states
        that the one before has left: gradients end at a window's start, what the network remembers
        does not (truncated backpropagation through time). `batch_size` stretches of the series are
        trained on side by side, each from states of zero in every epoch; `predict` takes the
        windows one after the other, from zeros or the state given (as `early_stopping` does with those
        held out). Needs `shuffle=False`, and more windows than `batch_size`.

    missing : {"error", "mask"}, default="error"
        What NaN in `X` means. "error": time steps at the end of a sequence that hold nothing else are
        padding, so that the lengths of sequences travel within `X`, and any other is an error. "mask": a
        missing value; the network reads the value observed last in the sequence (0, so to say the mean,
        before the first), and as further inputs which values are missing [8]_.

    n_timesteps : int, default=None
        Time steps of the windows that a 2-D `X` holds, flattened time step by time step (all
        features of the first step, then all of the second). None takes a 2-D `X` for windows of a
        univariate series, with a column for each time step.

    standardize : bool, default=True
        Whether each feature of `X`, and each target of a regressor, is standardised by mean and
        deviation of the (weighted) training samples, after `window_scaling`. (With the loss "poisson"
        targets are divided by their mean.) Predictions, deviations and scores are in the units of `y`;
        the training loss is that of the standardised targets. `partial_fit` and warm starts keep means
        and deviations of the first samples.

    window_scaling : {"last", "mean", "standard", "relative"} or None, default=None
        Statistics of its own by which each window is scaled, feature by feature, over its observed time
        steps, before features are standardised: so that a series may leave the levels of the past.

        - "last": minus the window's last value;
        - "mean": divided by the window's mean absolute value [12]_;
        - "standard": minus the window's mean, divided by its deviation, which counts as 0.001 times
          the mean absolute value at least;
        - "relative": minus the window's last value, divided by its mean absolute value: changes as shares
          of the level, as returns are.

        What would be divided by 0 is divided by 1: see :func:`pylstm.core.window_statistics`. A
        regressor's targets are scaled by the same statistics, and predictions scaled back.

    window_features : int or array-like of int, default=None
        Positions of the features that `window_scaling` scales, so that others, such as a calendar's,
        keep their values; None means all.

    forget_bias : float or "chrono", default=1.0
        Where the forget gates' biases start. "chrono" draws them, and the input gates', for memories
        of 1 to `n_timesteps_` - 1 time steps [11]_: for what must be remembered for long.

    solver : {"adam", "adamw", "rmsprop", "sgd"}, default="adam"
        Optimiser: Adam [4]_, Adam with decoupled weight decay [9]_, RMSprop [10]_, or stochastic
        gradient descent with momentum.

    alpha : float, default=0.0
        Strength of the L2 penalty on weights; biases are not penalised. As in
        :class:`~sklearn.neural_network.MLPRegressor`, the penalty is divided by the number of
        samples in a batch (times the mean sample weight). With `solver="adamw"` the strength of its
        weight decay instead (0.01 is usual), on the same weights.

    batch_size : int, default=32
        Samples for each update. Memory does not grow with it: the gradients of a large batch are
        accumulated over small blocks.

    learning_rate : "constant" or Schedule, default="constant"
        What `learning_rate_init` is multiplied by in the course of training: an object such as
        :class:`pylstm.training.StepDecay`, :class:`~pylstm.training.CosineDecay` or
        :class:`~pylstm.training.ReduceOnPlateau`.

    learning_rate_init : float, default=0.003
        Step size of the updates.

    max_iter : int, default=50
        Epochs (passes over the training samples) at most. Few, as noisy series are soon learned by
        heart; raise it for small or clean data, or together with `early_stopping`.

    shuffle : bool, default=True
        Whether to visit the samples in a new random order in each epoch, and whether
        `early_stopping` holds out random samples. False keeps the order of time: the last samples
        are held out.

    max_grad_norm : float or None, default=1.0
        Norm to which the gradient of a batch is scaled down if it is larger [5]_; None leaves it.

    max_grad_value : float or None, default=None
        Absolute value to which each element of the gradient is clipped, before the norm is taken.

    averaging : Averaging or None, default=None
        Average of the weights that is used in their place: an object such as
        :class:`pylstm.training.EMA` or :class:`~pylstm.training.SWA`.

    tol : float, default=1e-4
        Training has converged when the loss, or the validation score, has not improved by `tol`
        on its best in `n_iter_no_change` consecutive epochs.

    n_iter_no_change : int or `numpy.inf`, default=10
        See `tol`. `numpy.inf` trains for `max_iter` epochs, and does not warn of it.

    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the samples (or to use `X_val` and `y_val`),
        stop when the score on them does not improve, and restore the weights that scored best.
        See `shuffle` for which samples are held out (at random, of each class its share where that
        can be); of windows that know their series and times
        (:class:`pylstm.windows.Windows`) the last of each series, whatever `shuffle`.

    validation_fraction : float, default=0.1
        Share of the samples that `early_stopping` holds out, between 0 and 1.

    momentum : float, default=0.9
        Momentum of `solver="sgd"`, at least 0 and less than 1.

    nesterovs_momentum : bool, default=True
        Whether `solver="sgd"` uses Nesterov's momentum.

    beta_1 : float, default=0.9
        Decay of the average gradient in `solver="adam"` and "adamw", at least 0 and less than 1.

    beta_2 : float, default=0.999
        Decay of the average squared gradient in `solver="adam"`, "adamw" and "rmsprop" (where 0.99 is
        usual), at least 0 and less than 1.

    epsilon : float, default=1e-8
        Added to the denominator of the update in `solver="adam"`, "adamw" and "rmsprop".

    warm_start : bool, default=False
        Whether `fit` continues from the weights, optimiser and random stream of the last call, for
        up to `max_iter` further epochs, instead of starting afresh.

    callbacks : list of TrainingCallback or None, default=None
        Objects that are called before and after training and each epoch, and may end it: see
        :class:`pylstm.training.TrainingCallback`.

    random_state : int, RandomState instance or None, default=None
        Determines the first weights, the order of the samples, the samples held out and what is
        dropped. With an int, results are the same in every call, bit for bit, for any `n_jobs`.

    verbose : int, default=0
        1 shows epoch, loss, validation score and time left: as a bar if tqdm is installed, else as
        lines.

    n_jobs : int or None, default=None
        Threads; None means all available, see :func:`pylstm.core.effective_n_threads`.

    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and computation. An `X` of either is never copied as a whole; it is scaled
        in double precision.
""",
    "attributes": """
    input_coefs_ : list of ndarray of shape (n_in, 4 * hidden_size)
        Input weights of each layer, of a bidirectional one first those forward, then those of the
        reverse direction; n_in is the number of features for the first layer (twice that with
        `missing="mask"`), the hidden units of the layer below for the others. The columns belong to
        the input gate, the forget gate, the candidate and the output gate, in this order. All arrays
        of weights are views of the weights in use: writing to them changes the predictions.

    recurrent_coefs_ : list of ndarray of shape (hidden_size, 4 * hidden_size)
        Recurrent weights, likewise.

    gate_intercepts_ : list of ndarray of shape (4 * hidden_size,)
        Biases, likewise.

    output_coef_ : ndarray of shape (num_directions * hidden_size, n_network_outputs)
        Weights of the linear layer.

    output_intercept_ : ndarray of shape (n_network_outputs,)
        Bias of the linear layer.

    loss_curve_ : list of float of length `n_iter_`
        Mean training loss of each epoch, penalty included.

    loss_ : float
        Training loss of the last epoch.

    best_loss_ : float or None
        Least training loss of an epoch; None with `early_stopping`.
""",
    "counts": """
    n_iter_ : int
        Epochs since the weights were initialised, those of `partial_fit` and warm starts included.

    t_ : int
        Training samples seen in these epochs.

    n_timesteps_ : int or None
        Time steps of the sequences; None if they had lengths of their own.

    n_features_in_ : int
        Columns of a 2-D `X`, features per time step of a 3-D `X`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if `X` had names that are all strings.
""",
    "equations": """
    For a time step's features x, and hidden and cell states h and c, a layer computes

    .. code-block:: text

        z = x_t W + h_{t-1} U + b              split into z_i, z_f, z_g, z_o
        i = sigmoid(z_i)                       input gate
        f = sigmoid(z_f)                       forget gate
        g = tanh(z_g)                          candidate, or new memory
        o = sigmoid(z_o)                       output gate
        c_t = f * c_{t-1} + i * g              cell state
        h_t = o * tanh(c_t)                    hidden state
""",
    "references": """
    .. [1] Hochreiter & Schmidhuber (1997). Long short-term memory. Neural Computation 9(8).
    .. [2] Gers, Schmidhuber & Cummins (2000). Learning to forget: continual prediction with LSTM.
       Neural Computation 12(10).
    .. [3] Jozefowicz, Zaremba & Sutskever (2015). An empirical exploration of recurrent network
       architectures. ICML.
    .. [4] Kingma & Ba (2015). Adam: a method for stochastic optimization. ICLR.
    .. [5] Pascanu, Mikolov & Bengio (2013). On the difficulty of training recurrent neural
       networks. ICML.
    .. [6] Schuster & Paliwal (1997). Bidirectional recurrent neural networks. IEEE Transactions on
       Signal Processing 45(11).
    .. [7] Gal & Ghahramani (2016). A theoretically grounded application of dropout in recurrent
       neural networks. NeurIPS.
    .. [8] Lipton, Kale & Wetzel (2016). Directly modeling missing data in sequences with RNNs.
       MLHC. Che et al. (2018). Recurrent neural networks for multivariate time series with
       missing values. Scientific Reports 8.
    .. [9] Loshchilov & Hutter (2019). Decoupled weight decay regularization. ICLR.
    .. [10] Tieleman & Hinton (2012). Lecture 6.5: RMSprop. Neural networks for machine learning.
    .. [11] Tallec & Ollivier (2018). Can recurrent neural networks warp time? ICLR.
    .. [12] Salinas, Flunkert, Gasthaus & Januschowski (2020). DeepAR: probabilistic forecasting with
       autoregressive recurrent networks. International Journal of Forecasting 36(3).
    .. [13] Lai, Chang, Yang & Liu (2018). Modeling long- and short-term temporal patterns with deep
       neural networks. SIGIR.
""",
}


def documented(cls):
    """Class decorator: put what all estimators share where the docstring says {name}."""
    if cls.__doc__ is not None:  # None under python -OO
        documentation = cleandoc(cls.__doc__)
        for name, text in _SHARED_DOCUMENTATION.items():
            documentation = documentation.replace(f"{{{name}}}\n", f"{cleandoc(text)}\n\n")
        cls.__doc__ = documentation
    return cls
