"""The contract of a wrapper: what goes round any gradient method and changes its steps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields, make_dataclass
from functools import cache
from inspect import cleandoc, getdoc
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from unlearnbench.models.language_model import LanguageModel

Gradient = list["Tensor"]  # one tensor per trained parameter, of its shape


@dataclass(frozen=True)
class Gradients:
    """What a step may follow: gradients of a batch's loss, summed over its parts and processes.

    `forget` and `retain` compute theirs where the weights are at the time of the call; where the
    step began they are computed once.  The step goes along their sum.  A wrapper gives back
    others, made of these: `dataclasses.replace(gradients, forget=...)`.
    """

    parameters: "Sequence[nn.Parameter]"  # that are trained
    forget: Callable[[], Gradient]  # of the terms that forget
    retain: Callable[[], Gradient]  # of the terms that keep; zeros where there are none
    has_retain: bool  # whether the loss has terms that keep
    moved: Callable[[Gradient], AbstractContextManager[None]]  # within, weights are so much further
    trained: "Sequence[Tensor] | None" = None  # per parameter, broadcast to it: what may change

    def total(self) -> Gradient:
        """What the step goes along."""
        return [f + r for f, r in zip(self.forget(), self.retain(), strict=True)]


@dataclass(kw_only=True)
class Wrapper:
    """A way to change how a gradient method trains, whatever its loss: `npo+sam`.

    Write one file with one subclass, decorate it with `@register`, and it goes round every
    gradient method: see `docs/wrappers.md`.  Its fields are settings: `--set sam.rho=0.1`.
    One object lives as long as one training.
    """

    plugin_kind: ClassVar[str] = "wrappers"
    name: ClassVar[str]  # on the command line: 'sam'
    label: ClassVar[str]  # in tables, behind the method's: 'SAM'
    source: ClassVar[str] = ""  # paper, equation
    citation: ClassVar[str] = ""  # BibTeX
    packages: ClassVar[tuple[str, ...]] = ()  # whose versions can change a number
    # What memory prediction must know: lists of the size of the trained weights, beside the
    # gradients and the optimiser's states.
    n_copies: ClassVar[int] = 0

    @property
    def changes_gradients(self) -> bool:
        """Whether `wrap` or `begin` does anything; if not, steps are taken as without wrappers."""
        return True

    def check(self, method: Any, network: "Callable[[], PreTrainedModel]") -> None:
        """Raise `UserError` for a method or network that it cannot go round.

        Asked before any weights are loaded: `network` has shapes alone and makes them if called.
        """

    def n_trained(
        self,
        network: "PreTrainedModel",  # noqa: ARG002 (for those that override this)
    ) -> int | None:
        """How many numbers are trained, if not all weights; `network` may have shapes alone."""
        return None

    def around(self, model: "LanguageModel", seed: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Within, `model` is trained; `requires_grad` says which parameters are."""
        return nullcontext()

    def begin(self, whole: Gradients) -> None:
        """Called once before the first step, with the gradients of the whole forget set's loss."""

    @property
    def wants_whole(self) -> bool:
        """Whether `begin` is to be called: it costs a pass over the forget set."""
        return type(self).begin is not Wrapper.begin

    def wrap(self, gradients: Gradients) -> Gradients:
        """What a step follows instead; called once in each step, where the step begins."""
        return gradients

    @classmethod
    def of(cls, method: Any) -> Any:
        """The method with this wrapper round it, as a method class: `kumpr+sam`, `KUMPR + SAM`.

        The wrapper's settings are fields of it, after the wrapper's name: `sam_rho`.  Made once.
        Raises `UserError` for a method that follows no gradient or has the wrapper already.
        """
        wrapper: Any = cls
        return _wrapped(method, wrapper)


def prefix_of(wrapper: type[Wrapper]) -> str:
    """What stands before a wrapper's settings among those of a wrapped method: 'sam_'."""
    return wrapper.name.replace("-", "_") + "_"


@cache
def _wrapped(method: Any, wrapper: Any) -> Any:
    inner: tuple[type[Wrapper], ...] = getattr(method, "wrapper_kinds", None)  # type: ignore[assignment]
    if inner is None:
        raise UserError(
            f"method '{method.name}' follows no gradient of a loss, so nothing can go round it; "
            f"run it alone: --methods {method.name}"
        )
    if wrapper in inner:
        raise UserError(
            f"'{method.name}+{wrapper.name}' names the wrapper '{wrapper.name}' twice; run: "
            f"--methods {method.name}"
        )
    hints, prefix = get_type_hints(wrapper), prefix_of(wrapper)
    own = [
        (f"{prefix}{f.name}", hints[f.name], _same_setting(f)) for f in fields(wrapper) if f.init
    ]
    namespace = {
        "__module__": method.__module__,
        "__doc__": f"{method.label} with {wrapper.label} round it.\n\n{getdoc(wrapper)}",
        "name": f"{method.name}+{wrapper.name}",
        "label": f"{method.label} + {wrapper.label}",
        "source": "; ".join(filter(None, (method.source, wrapper.source))),
        "citation": "\n\n".join(cleandoc(c) for c in (method.citation, wrapper.citation) if c),
        "wrapper_kinds": (*inner, wrapper),
        "made_of": (*getattr(method, "made_of", (method,)), wrapper),
    }

    def unlearn(self: Any, model: Any, forget_set: Any, examiner: Any) -> Any:
        self._wrapping = None
        trace = method.unlearn(self, model, forget_set, examiner)
        if self._wrapping is None and trace.n_epochs:  # the loop would have set it
            raise UserError(
                f"method '{method.name}' does not train by the epoch loop, so nothing can go round "
                f"it; run it alone: --methods {method.name}"
            )
        return trace

    namespace["unlearn"] = unlearn
    class_name = f"{method.__name__}{wrapper.__name__}"
    return make_dataclass(class_name, own, bases=(method,), namespace=namespace, kw_only=True)


def _same_setting(field: Any) -> Any:
    from dataclasses import field as new_field

    return new_field(default=field.default, metadata=field.metadata)


def made_wrappers(method: Any) -> list[Wrapper]:
    """The wrappers of a method with the settings that it has of them, the innermost first."""
    return [
        kind(**{f.name: getattr(method, prefix_of(kind) + f.name) for f in fields(kind) if f.init})
        for kind in method.wrapper_kinds
    ]


# ---- what wrappers compute with


def inner_product(one: Gradient, other: Gradient) -> float:
    """The sum of products over all numbers of two gradients, added up in double precision."""
    import torch

    parts = [torch.dot(a.flatten(), b.flatten()) for a, b in zip(one, other, strict=True)]
    return float(torch.stack(parts).double().sum())


def norm_of(gradient: Gradient) -> float:
    """The Euclidean norm over all numbers of a gradient."""
    import torch

    return float(torch.stack([g.norm() for g in gradient]).double().norm())


@contextmanager
def weights_moved(parameters: "Sequence[nn.Parameter]", by: Gradient) -> Iterator[None]:
    """Within, the weights are so much further; afterwards they are the same ones bit for bit."""
    kept = [p.data for p in parameters]
    try:
        for p, step in zip(parameters, by, strict=True):
            p.data = p.data + step  # another tensor: adding and taking away would leave rounding
        yield
    finally:
        for p, data in zip(parameters, kept, strict=True):
            p.data = data
