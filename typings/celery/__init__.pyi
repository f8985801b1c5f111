"""The part of Celery that we use; it ships no types."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

class Request:
    id: str | None
    retries: int

class Task(Generic[_P, _R]):
    name: str
    request: Request
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R: ...
    def run(self, *args: Any, **kwargs: Any) -> Any: ...
    def delay(self, *args: _P.args, **kwargs: _P.kwargs) -> Any: ...
    def apply_async(self, args: Sequence[Any] = ..., **options: Any) -> Any: ...

class Celery:
    conf: Any
    tasks: dict[str, Task[..., Any]]
    def __init__(self, main: str, *, task_cls: type[Any] = ...) -> None: ...
    def set_default(self) -> None: ...
    def send_task(self, name: str, args: Sequence[Any] = ..., **options: Any) -> Any: ...

def shared_task(*, name: str, **options: Any) -> Callable[[Callable[_P, _R]], Task[_P, _R]]: ...
