"""Floating-point operations of the matrix products that each program must do, from the configuration and the samples.

A product of (m, k) by (k, n) counts 2·m·k·n. What is no product (norms, softmax, SwiGLU, cross entropy, compression)
counts nothing, nor does what a program computes twice: the figures are what the job needs.
"""


class Model:
    """What config.json says, and the products per token that follow from it: of models whose MLP has a gate, and of
    samples that are no longer than the windows of their attention."""

    def __init__(self, config):
        heads = config["num_attention_heads"]
        head = config.get("head_dim") or config["hidden_size"] // heads
        self.width = config["hidden_size"]
        self.layers = config["num_hidden_layers"]
        self.vocabulary = config["vocab_size"]
        self.query = heads * head
        self.key = config.get("num_key_value_heads", heads) * head
        self.mlp = config["intermediate_size"]

    def layer(self, lengths):
        """One layer forward, over samples of these lengths: projections and MLP, and attention's two products, of which
        the causal half is needed."""
        D, Q, K, F = self.width, self.query, self.key, self.mlp
        projections = 2 * sum(lengths) * (D * (Q + 2 * K) + Q * D + 3 * D * F)
        return projections + sum(2 * Q * n * (n + 1) for n in lengths)

    def layer_backward(self, lengths):
        """Back through one layer to its input: as much again, and attention's four products. No weight gradients."""
        return self.layer(lengths) + sum(2 * self.query * n * (n + 1) for n in lengths)

    def head(self, lengths):
        """The output head, forward or backward, at the positions that predict."""
        return 2 * self.width * self.vocabulary * sum(n - 1 for n in lengths)

    def capture(self, lengths, last, loss=False):
        """qwen-capture of layers up to `last`; with --loss all layers and the head."""
        layers = self.layers if loss else last + 1
        return layers * self.layer(lengths) + (self.head(lengths) if loss else 0)

    def gradients(self, lengths, start):
        """On from behind layer `start` to the loss and back to it: act-grad, and each of sae-grad's passes."""
        above = self.layers - 1 - start
        return above * (self.layer(lengths) + self.layer_backward(lengths)) + 2 * self.head(lengths)


def features(width, count, positions):
    """One product of recorded positions with an encoder or a decoder. Decoding from a few active features is none."""
    return 2 * width * count * positions


def recorded(lengths, stride=4):
    """Positions 0, stride, 2·stride, … of each sample."""
    return sum((n + stride - 1) // stride for n in lengths)
