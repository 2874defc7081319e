"""Function tools: an async Python function with type hints and a docstring."""

import asyncio
import inspect
import re
import textwrap
import time
import types
import typing
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, overload

import structlog
from pydantic import BaseModel, ConfigDict, Field, PydanticSchemaGenerationError, ValidationError, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from bot.engine.ports import Ability, ChannelReader, ToolScene, ToolSpec
from bot.errors import BobbinError, SettingsError, ToolError
from bot.tools.output import as_text
from bot.tools.schemas import UnusableSchema, brief, offerable

_log = structlog.get_logger()

#: Seconds for a call of a tool that names none.
USUAL_TIMEOUT = 30.0
#: Seconds that a tool gets to clean up once its time is over; then it is left to itself.
_GRACE = 1.0
#: What OpenAI allows as a function's name (https://platform.openai.com/docs/api-reference/responses/create).
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
#: Names that mean a hosted tool where an assistant's file lists its tools.
_HOSTED = frozenset({Ability.CODE_INTERPRETER, Ability.FILE_SEARCH, Ability.WEB_SEARCH, Ability.IMAGE_GENERATION})
#: What Bobbin fills in: parameters of these types are no part of a tool's schema.
_FILLED_IN: tuple[type, ...] = (ToolScene, ChannelReader)
_MARK = "__bobbin_tool__"

Function = Callable[..., Coroutine[Any, Any, Any]]
F = TypeVar("F", bound=Function)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What `@tool` was told."""

    name: str | None
    approval: bool
    repeatable: bool
    timeout: float


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *, name: str | None = None, approval: bool = False, repeatable: bool = False, timeout: float = USUAL_TIMEOUT
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    name: str | None = None,
    approval: bool = False,
    repeatable: bool = False,
    timeout: float = USUAL_TIMEOUT,
) -> F | Callable[[F], F]:
    """Mark an async function as a tool; it stays the function it is.

    `name` is the function's own unless given. With `approval`, people are asked in the thread before each call.
    `repeatable` says that a call may be made again when nobody knows whether it was carried out (after a crash).
    `timeout` is in seconds.
    """
    mark = _Mark(name, approval, repeatable, timeout)

    def marked(function: F) -> F:
        setattr(function, _MARK, mark)
        return function

    return marked if function is None else marked(function)


def is_tool(value: object) -> bool:
    """Whether this was marked by `@tool`."""
    return isinstance(getattr(value, _MARK, None), _Mark)


@dataclass(frozen=True, slots=True)
class FilledIn:
    """A parameter that Bobbin provides, by its type; an `optional` one may be None."""

    kind: type
    optional: bool = False

    @classmethod
    def of(cls, hint: Any) -> "FilledIn | None":
        """What a hint asks Bobbin for: one of our types, also within Annotated and Optional. None for an argument."""
        if typing.get_origin(hint) is Annotated:
            return cls.of(hint.__origin__)
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            found = [cls.of(each) for each in typing.get_args(hint) if each is not type(None)]
            return cls(found[0].kind, optional=True) if len(found) == 1 and found[0] else None
        return cls(hint) if hint in _FILLED_IN else None


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function that the model may call. `filled_in` are the parameters that Bobbin provides."""

    spec: ToolSpec
    function: Function
    arguments: type[BaseModel]
    filled_in: Mapping[str, FilledIn]
    approval: bool
    repeatable: bool
    timeout: float

    @classmethod
    def of(cls, function: Function) -> "FunctionTool":
        """The tool that a function marked with `@tool` is. Raises SettingsError where it cannot be one."""
        mark: _Mark = getattr(function, _MARK)
        where = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
        name = mark.name or str(getattr(function, "__name__", ""))
        _check(function, mark, name, where)
        summary, described = _docstring(function)
        if not summary:
            raise SettingsError(f"Tool {where}: a docstring is missing; it tells the model what the tool does.")
        parameters = _parameters(function, where)
        filled_in = {key: found for key, (hint, _) in parameters.items() if (found := FilledIn.of(hint))}
        asked = {key: value for key, value in parameters.items() if key not in filled_in}
        arguments, schema = _model(name, asked, described, where)
        return cls(
            ToolSpec(name, brief(summary), schema),
            function,
            arguments,
            filled_in,
            mark.approval,
            mark.repeatable,
            mark.timeout,
        )

    def parse(self, arguments: str) -> dict[str, Any]:
        """The model's JSON as the function's arguments. Raises ToolError, which tells the model what is wrong."""
        try:
            model = self.arguments.model_validate_json(arguments if arguments.strip() else "{}")
        except ValidationError as error:
            wrong = "; ".join(_complaint(each) for each in error.errors(include_url=False, include_input=False)[:10])
            raise ToolError(f"The arguments are wrong: {wrong}. Nothing was done.") from None
        fields = type(model).model_fields
        # Only what the model gave: the function has its own defaults.
        return {str(fields[key].alias): getattr(model, key) for key in model.model_fields_set}

    async def call(self, arguments: str, provided: Mapping[type, object]) -> str:
        """Call the function. Returns what the model is told; raises ToolError, and nothing else, where it failed.

        `provided` has what Bobbin fills in, by its type.
        """
        values = self.parse(arguments)
        for name, wanted in self.filled_in.items():
            values[name] = provided.get(wanted.kind)
            if values[name] is None and not wanted.optional:
                raise ToolError(f"The tool {self.spec.name} does not work here. Nothing was done.")
        # In a task of its own, because a tool that swallows its cancellation must not hold the run.
        task = asyncio.create_task(self._carry_out(values), name=f"tool {self.spec.name}")
        began = time.monotonic()
        try:
            done, _ = await asyncio.wait({task}, timeout=self.timeout)
            if not done:
                task.cancel()
                await asyncio.wait({task}, timeout=_GRACE)
        finally:
            task.cancel()
            task.add_done_callback(_look_at)
        took = time.monotonic() - began
        if done and took > self.timeout:
            # Nothing could run at its limit, not even what ends it.
            _log.warning("tool-blocked-everything", tool=self.spec.name, timeout=self.timeout, seconds=round(took, 1))
        if done and task.cancelled():
            raise ToolError(f"The tool {self.spec.name} broke off; a part of its work may have been done.")
        if not done:
            _log.warning("tool-timed-out", tool=self.spec.name, timeout=self.timeout)
            raise ToolError(
                f"The tool {self.spec.name} was stopped because it took longer than {self.timeout:g} seconds; a part "
                "of its work may have been done."
            )
        return task.result()

    async def _carry_out(self, values: Mapping[str, Any]) -> str:
        try:
            return as_text(await self.function(**values))
        except BobbinError as error:
            raise ToolError(error.sentence) from error
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:
            # Whatever it is: extension modules raise panics that are no Exception, and a run must not die of one.
            # Its words may hold what is not for the model: paths, addresses, secrets. The log has them.
            _log.warning("tool-failed", tool=self.spec.name, exc_info=True)
            raise ToolError(f"The tool {self.spec.name} failed ({type(error).__name__}).") from error


def _look_at(task: "asyncio.Task[str]") -> None:
    """A tool that was left to itself may still fail, and then nobody else asks."""
    if not task.cancelled():
        task.exception()


def _check(function: Function, mark: _Mark, name: str, where: str) -> None:
    if not inspect.iscoroutinefunction(function):
        raise SettingsError(f"Tool {where}: it is not an async function; write async def.")
    if not NAME.fullmatch(name):
        raise SettingsError(f"Tool {where}: {name!r} is no name for a tool; letters, digits, _ and -, at most 64.")
    if name in _HOSTED:
        raise SettingsError(f"Tool {where}: {name} is the name of a hosted tool; give it another with @tool(name=...).")
    if not mark.timeout > 0:
        raise SettingsError(f"Tool {where}: its timeout is not over 0 seconds.")


def _parameters(function: Function, where: str) -> dict[str, tuple[Any, Any]]:
    """The hint and the default of each parameter."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise SettingsError(f"Tool {where}: its type hints cannot be read ({error}).") from error
    parameters: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SettingsError(f"Tool {where}: the parameter {name} cannot be given by name.")
        if name not in hints:
            raise SettingsError(f"Tool {where}: the parameter {name} has no type hint.")
        if isinstance(parameter.default, FieldInfo):
            raise SettingsError(f"Tool {where}: the parameter {name}: write Annotated[..., Field(...)] before the =.")
        parameters[name] = (hints[name], parameter.default)
    return parameters


class _Schema(GenerateJsonSchema):
    #: A default that JSON does not know is simply not shown.
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012


def _model(
    name: str, parameters: Mapping[str, tuple[Any, Any]], described: Mapping[str, str], where: str
) -> tuple[type[BaseModel], dict[str, Any]]:
    """The pydantic model of the arguments, and its JSON schema."""
    fields: dict[str, Any] = {}
    for number, (key, (hint, default)) in enumerate(parameters.items()):
        options: dict[str, Any] = {"alias": key}
        if default is not inspect.Parameter.empty:
            options["default"] = default
        if key in described and not _says_itself(hint):
            options["description"] = described[key]
        # Numbered, because a parameter may have a name that pydantic keeps for itself.
        fields[f"a{number}"] = (hint, Field(**options))
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid", regex_engine="python-re"), **fields)
        schema = model.model_json_schema(schema_generator=_Schema)
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"Tool {where}: its type hints make no JSON schema ({reason}).") from error
    if ours := _ours_within(model.__pydantic_core_schema__):
        raise SettingsError(
            f"Tool {where}: {ours.__name__} is filled in by Bobbin and no part of an argument; give it a parameter of "
            f"its own: {ours.__name__}, or {ours.__name__} | None."
        )
    schema.pop("title", None)
    for each in schema.get("properties", {}).values():
        each.pop("title", None)
    _close(schema)
    try:
        return model, offerable(schema)
    except UnusableSchema as error:
        raise SettingsError(f"Tool {where}: no model can be offered it: {error}.") from error


def _ours_within(core_schema: Any) -> type | None:
    """A type that Bobbin fills in, somewhere within what the model may write: it could say who is asking."""
    if isinstance(core_schema, type):
        return next((ours for ours in _FILLED_IN if ours in core_schema.__mro__), None)
    within = core_schema.values() if isinstance(core_schema, dict) else core_schema
    if not isinstance(core_schema, (dict, list, tuple)):
        return None
    return next((found for each in within if (found := _ours_within(each))), None)


def _says_itself(hint: Any) -> bool:
    """Whether an Annotated hint has a description of its own."""
    return any(isinstance(each, FieldInfo) and each.description for each in getattr(hint, "__metadata__", ()))


def _close(schema: Any) -> None:
    """Say of every object with properties that it has no others, unless its model allows them."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)
    elif isinstance(schema, list):
        for each in schema:
            _close(each)


def _complaint(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"])[:200].lower()
    return f"{where}: {message}" if where else message


#: `city: ...` and `city (str): ...`, the usual ways to write of an argument.
_ARGUMENT = re.compile(r"(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):")


def _docstring(function: Function) -> tuple[str, dict[str, str]]:
    """A docstring's description, and what its Args section says of each argument."""
    text = inspect.cleandoc(function.__doc__ or "")
    summary: list[str] = []
    arguments: list[str] = []
    section = ""
    for line in text.splitlines():
        heading = _SECTION.fullmatch(line.rstrip())
        if heading:
            section = heading[1]
        elif section in ("Args", "Arguments", "Parameters"):
            arguments.append(line)
        elif not section:
            summary.append(line)
    return "\n".join(summary).strip(), _described(arguments)


def _described(lines: list[str]) -> dict[str, str]:
    described: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        begins = None if line.startswith((" ", "\t")) else _ARGUMENT.fullmatch(line.rstrip())
        if begins:
            name = begins[1]
            described[name] = begins[2]
        elif name:
            described[name] = f"{described[name]} {line.strip()}".strip()
    return described
