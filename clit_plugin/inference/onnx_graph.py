"""A small builder of ONNX graphs: operators are method calls, values are names."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 18  # the last whose GridSample TensorRT and older runtimes support
IR_VERSION = 8  # of that opset
Value = str
Operand = Value | Tensor | np.ndarray | int | float | Sequence[int]


class OnnxGraph:
    """Nodes and constants of a graph under construction.

    Operands are names of values, or become constants: tensors, arrays, floats (float32), integers and sequences of
    integers (int64).
    """

    def __init__(self) -> None:
        self._nodes: list[list[onnx.NodeProto]] = [[]]
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}
        self._count = 0

    def op(self, kind: str, *operands: Operand, **attributes: Any) -> Value:
        """Add an operator of the standard domain, with one output, which is returned."""
        name = self._name(kind)
        inputs = [self.constant(operand) for operand in operands]
        self._nodes[-1].append(helper.make_node(kind, inputs, [name], name=f"{name}_node", **attributes))
        return name

    def constant(self, operand: Operand) -> Value:
        """The name of a value; equal constants are stored once."""
        if isinstance(operand, str):
            return operand
        if isinstance(operand, Tensor):
            array = operand.detach().cpu().numpy()
        elif isinstance(operand, float):
            array = np.asarray(operand, np.float32)
        elif isinstance(operand, np.ndarray):
            array = operand
        else:
            array = np.asarray(operand, np.int64)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array.copy(order="C"), self._name("constant"))
        return self._constants[key].name

    def choose(self, condition: Value, then: Callable[[], Value], otherwise: Callable[[], Value]) -> Value:
        """The value of one of two builders; only the operators of that one run."""
        graphs = []
        for name, build in (("then", then), ("else", otherwise)):
            self._nodes.append([])
            result = self.op("Identity", build())
            output = helper.make_tensor_value_info(result, TensorProto.FLOAT, None)
            graphs.append(helper.make_graph(self._nodes.pop(), name, [], [output]))
        return self.op("If", condition, then_branch=graphs[0], else_branch=graphs[1])

    def model(
        self, inputs: Mapping[str, tuple[int, Sequence[str | int]]], output: tuple[str, Value, Sequence[str | int]]
    ) -> onnx.ModelProto:
        """The model.

        Args:
            inputs: Type (of ``TensorProto``) and shape of each input; strings are sizes that vary.
            output: Its name, its value and its shape; float32.
        """
        name, value, shape = output
        nodes = [*self._nodes[0], helper.make_node("Identity", [value], [name], name=f"{name}_node")]
        graph = helper.make_graph(
            nodes,
            "clit_plugin",
            [helper.make_tensor_value_info(key, kind, sizes) for key, (kind, sizes) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
            initializer=list(self._constants.values()),
        )
        return helper.make_model(
            graph,
            producer_name="clit_plugin",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}"

    # ------------------------------------------------------------------ frequent operators

    def add(self, a: Operand, b: Operand) -> Value:
        return self.op("Add", a, b)

    def sub(self, a: Operand, b: Operand) -> Value:
        return self.op("Sub", a, b)

    def mul(self, a: Operand, b: Operand) -> Value:
        return self.op("Mul", a, b)

    def div(self, a: Operand, b: Operand) -> Value:
        return self.op("Div", a, b)

    def clip(self, value: Operand, low: Operand, high: Operand) -> Value:
        return self.op("Min", self.op("Max", value, low), high)

    def floats(self, value: Operand) -> Value:
        return self.op("Cast", value, to=TensorProto.FLOAT)

    def integers(self, value: Operand) -> Value:
        return self.op("Cast", value, to=TensorProto.INT64)

    def reshape(self, value: Operand, shape: Sequence[int]) -> Value:
        """As ONNX's Reshape: 0 keeps an axis, -1 infers it."""
        return self.op("Reshape", value, list(shape))

    def concat(self, values: Sequence[Operand], axis: int) -> Value:
        return self.op("Concat", *values, axis=axis) if len(values) > 1 else self.constant(values[0])

    def column(self, value: Operand, index: int) -> Value:
        """``value[..., index]``."""
        return self.op("Gather", value, index, axis=-1)

    def conv(self, value: Value, weight: Tensor, bias: Tensor | None, pads: Sequence[int]) -> Value:
        """Pads are top, left, bottom, right."""
        return self.op("Conv", value, weight, *([] if bias is None else [bias]), pads=list(pads))

    def linear(self, value: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
        """As ``F.linear``."""
        product = self.op("MatMul", value, weight.detach().T.contiguous())
        return product if bias is None else self.add(product, bias)


def run_mlp(graph: OnnxGraph, layers: Iterable[nn.Module], value: Value) -> Value:
    """Linear layers with ReLU or GELU between them; GELU by the error function, as its operator needs a later opset.

    Raises:
        TypeError: Another layer.
    """
    g = graph
    for layer in layers:
        if isinstance(layer, nn.Linear):
            value = g.linear(value, layer.weight, layer.bias)
        elif isinstance(layer, nn.ReLU):
            value = g.op("Relu", value)
        elif isinstance(layer, nn.GELU):
            value = g.mul(g.mul(value, 0.5), g.add(g.op("Erf", g.mul(value, math.sqrt(0.5))), 1.0))
        else:
            raise TypeError(f"expected a linear layer, ReLU or GELU, got {type(layer).__name__}")
    return value
