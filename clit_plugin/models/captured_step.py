"""Forward and backward pass of a training step as CUDA graphs."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Sizes = Sequence[Sequence[int]]
Forward = Callable[[Sequence[Tensor], Sizes], tuple[Tensor, Tensor]]

_MAX_GRAPHS = 256


@dataclass
class _Captured:
    """A graph, and the tensors that it reads and writes on every replay."""

    graph: Any
    inputs: list[Tensor]
    output: Tensor
    loss: Tensor
    gradients: list[tuple[nn.Parameter, Tensor]]


class CapturedStep:
    """A step's forward and backward pass, replayed as a single launch for shapes that recur.

    A step of a small network is about a thousand kernels of a few microseconds each, which Python launches more slowly
    than a GPU runs them. The first step of a shape runs eagerly, which also warms up the libraries; the second is
    captured, and further ones replay its kernels.

    Args:
        net: The network, whose parameters receive the gradients.
        forward: Maps (inputs, stage_sizes) to (output, loss), without synchronising with the host.
    """

    def __init__(self, net: nn.Module, forward: Forward) -> None:
        self.net, self.forward = net, forward
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()
        self.seen_shapes: set[Any] = set()
        self.captured: OrderedDict[Any, _Captured] = OrderedDict()
        # Shapes change from batch to batch, and cuDNN cannot benchmark its kernels within a capture.
        torch.backends.cudnn.benchmark = False

    def __call__(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> tuple[Tensor, Tensor]:
        """Output and loss, which the next call overwrites. Sets ``grad`` of all parameters, to None where unused."""
        key = (tuple((tuple(x.shape), x.dtype) for x in inputs), tuple(map(tuple, stage_sizes)))
        if key in self.captured:
            self.captured.move_to_end(key)
        elif key in self.seen_shapes:
            self.captured[key] = self._capture(inputs, stage_sizes)
            if len(self.captured) > _MAX_GRAPHS:
                self.captured.popitem(last=False)
        else:
            self.seen_shapes.add(key)
            return self._compute(inputs, stage_sizes)
        step = self.captured[key]
        for static, new in zip(step.inputs, inputs, strict=True):
            static.copy_(new, non_blocking=True)
        step.graph.replay()
        self.net.zero_grad(set_to_none=True)
        for parameter, gradient in step.gradients:
            parameter.grad = gradient
        return step.output, step.loss

    def _compute(self, inputs: Sequence[Tensor], stage_sizes: Sizes) -> tuple[Tensor, Tensor]:
        """An eager step, on the stream of the captures: autograd remembers the stream of a parameter."""
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
        # "thread_local" lets other threads use CUDA meanwhile, such as the one that pins a DataLoader's memory.
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
            output, loss = self.forward(static, stage_sizes)
            loss.backward()
        gradients = [(p, p.grad) for p in self.net.parameters() if p.grad is not None]
        return _Captured(graph, static, output.detach(), loss.detach(), gradients)
