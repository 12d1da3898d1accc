"""Forward and backward pass of a training step as CUDA graphs."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Sizes = Sequence[Sequence[int]]
Forward = Callable[[Sequence[Tensor], Sizes], tuple[Tensor, Tensor]]

_MOST_GRAPHS = 256


@dataclass
class _Captured:
    """A graph with the tensors that it reads and writes on every replay."""

    graph: Any
    inputs: list[Tensor]
    output: Tensor
    loss: Tensor
    gradients: list[tuple[nn.Parameter, Tensor]]


class CapturedStep:
    """A step's forward and backward pass, replayed as a single launch for shapes that recur.

    The step of a small network is about a thousand kernels of a few microseconds, which Python launches more slowly
    than a GPU runs them. Shapes that are new are computed eagerly, which also warms up the libraries; the second time
    the step is captured. The numbers are those of the captured kernels.

    Args:
        net: The network, whose parameters receive the gradients.
        forward: From (inputs, stage_sizes) to (output, loss), without synchronising with the host.
    """

    def __init__(self, net: nn.Module, forward: Forward) -> None:
        self.net, self.forward = net, forward
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()
        self.seen: set[Any] = set()
        self.captured: OrderedDict[Any, _Captured] = OrderedDict()
        # Shapes change from batch to batch, and cuDNN cannot benchmark its kernels within a capture.
        torch.backends.cudnn.benchmark = False

    def __call__(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Output and loss; every parameter in use has its gradient, the others None.

        The next call overwrites what is returned.
        """
        key = (tuple((tuple(x.shape), x.dtype) for x in inputs), tuple(map(tuple, stage_sizes)))
        if key in self.captured:
            self.captured.move_to_end(key)
        elif key in self.seen:
            self.captured[key] = self._capture(inputs, stage_sizes)
            if len(self.captured) > _MOST_GRAPHS:
                self.captured.popitem(last=False)
        else:
            self.seen.add(key)
            return self._compute(inputs, stage_sizes)
        step = self.captured[key]
        for static, given in zip(step.inputs, inputs, strict=True):
            static.copy_(given, non_blocking=True)
        step.graph.replay()
        self.net.zero_grad(set_to_none=True)
        for parameter, gradient in step.gradients:
            parameter.grad = gradient
        return step.output, step.loss

    def _compute(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> tuple[Tensor, Tensor]:
        """The eager step, on the stream of the captures: autograd remembers the stream of a parameter."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            self.net.zero_grad(set_to_none=True)
            output, loss = self.forward(inputs, stage_sizes)
            loss.backward()
        torch.cuda.current_stream().wait_stream(self.stream)
        return output.detach(), loss.detach()

    def _capture(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> _Captured:
        static = [x.clone() for x in inputs]
        self.net.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        # Other threads keep running, as the one that pins a DataLoader's memory.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            output, loss = self.forward(static, stage_sizes)
            loss.backward()
        gradients = [(p, p.grad) for p in self.net.parameters() if p.grad is not None]
        return _Captured(graph, static, output.detach(), loss.detach(), gradients)
