"""Asks the real engine whether it loads flows: one line of JSON for each, in the order given.

Standard input holds one JSON object: `tree`, a folder, `flows`, paths below it, and `timeout`, the
seconds that one flow may take. The tree is copied, because loading a flow executes its code; a flow
is merged with its additional includes as the SDK does it, and loaded in a process of its own.

Every connection that a flow names is made up, of the type that the tool declares. The engine stops
at its first refusal; here it is led past the refusal of a node's tool or of the graph, to the next.
"""

import importlib.util
import json
import os
import re
import select
import shutil
import signal
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

os.environ.update(
    PF_DISABLE_TRACING="true",
    PYTHONDONTWRITEBYTECODE="1",
    # What the SDK imports would ask the network, on a thread of its own.
    APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED="true",
    APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL="true",
)
sys.dont_write_bytecode = True

from promptflow._core.tools_manager import connections as connection_classes  # noqa: E402
from promptflow._sdk._utilities import general_utils as sdk  # noqa: E402
from promptflow._utils.yaml_utils import load_yaml  # noqa: E402
from promptflow.connections import ConnectionProvider, CustomConnection  # noqa: E402
from promptflow.contracts.tool import ConnectionType  # noqa: E402
from promptflow.core._errors import ConnectionNotFound  # noqa: E402
from promptflow._core.tool_meta_generator import PythonLoadError  # noqa: E402
from promptflow.executor import FlowExecutor, FlowValidator, _tool_resolver, flow_executor  # noqa: E402
from promptflow.executor._errors import ResolveToolError  # noqa: E402

URL = "https://example.invalid"
KNOWN = {
    "AzureOpenAIConnection": {"api_key": "made-up", "api_base": URL},
    "OpenAIConnection": {"api_key": "made-up"},
    "ServerlessConnection": {"api_key": "made-up", "api_base": URL},
    "SerpConnection": {"api_key": "made-up"},
    "CognitiveSearchConnection": {"api_key": "made-up", "api_base": URL},
    "AzureAIServicesConnection": {"api_key": "made-up", "endpoint": URL},
    "AzureContentSafetyConnection": {"api_key": "made-up", "endpoint": URL},
    "FormRecognizerConnection": {"api_key": "made-up", "endpoint": URL},
    "QdrantConnection": {"api_key": "made-up", "api_base": URL},
    "WeaviateConnection": {"api_key": "made-up", "api_base": URL},
    "BingConnection": {"api_key": "made-up"},
    "CustomConnection": {"secrets": {"key": "made-up"}, "configs": {}},
}


class MadeUp(ConnectionProvider):
    """Gives a connection of the wanted type for every name; an absent name stays an error."""

    def __init__(self):
        self.wanted = ["AzureOpenAIConnection"]

    def list(self):
        return []

    def get(self, name):
        if ConnectionType.is_connection_value(name):
            return name
        if not isinstance(name, str) or not name:
            raise ConnectionNotFound(f"there is no connection {name!r}")
        for kind in self.wanted:
            if isinstance(kind, CustomConnection):
                return kind
            if kind in KNOWN and kind in connection_classes:
                return connection_classes[kind](**KNOWN[kind])
        raise ConnectionNotFound(f"no connection of type {self.wanted!r} can be made up")


class Resolver(_tool_resolver.ToolResolver):
    """The engine's own, which tells the provider first which type is wanted, and keeps refusals."""

    refusals = []

    def resolve_tool_by_node(self, node, convert_input_types=True):
        try:
            return super().resolve_tool_by_node(node, convert_input_types)
        except Exception as error:
            self.refusals.append(error)
            return _tool_resolver.ResolvedTool(node=node, definition=None, callable=lambda: None, init_args={})

    def _convert_to_connection_value(self, key, value, node_name, types):
        self._connection_provider.wanted = list(types)
        return super()._convert_to_connection_value(key, value, node_name, types)

    def _convert_to_custom_strong_type_connection_value(self, key, value, node, source, tool, types, module):
        self._connection_provider.wanted = [custom(getattr(module, types[0], None))]
        return super()._convert_to_custom_strong_type_connection_value(key, value, node, source, tool, types, module)

    def _get_llm_node_connection(self, node):
        family = str(node.provider or "")
        self._connection_provider.wanted = [
            f"{family}Connection" if f"{family}Connection" in KNOWN else "AzureOpenAIConnection"
        ]
        return super()._get_llm_node_connection(node)


class Validator(FlowValidator):
    """The engine's own, which goes on to the outputs of a graph that it refuses."""

    @staticmethod
    def _validate_nodes_topology(flow):
        try:
            return FlowValidator._validate_nodes_topology(flow)
        except Exception as error:
            Resolver.refusals.append(error)
            return flow


def custom(kind):
    """A custom connection that holds what a custom class declares."""
    fields = dict(getattr(kind, "__annotations__", {}))
    secret = {name: "made-up" for name, of in fields.items() if getattr(of, "__name__", str(of)) == "Secret"}
    plain = {name: "made-up" for name in fields if name not in secret}
    return CustomConnection(secrets=secret or {"key": "made-up"}, configs=plain)


def load(path):
    """Loads a flow as the SDK would before it runs one, and gives what the engine refused on the way."""
    includes = sdk._get_additional_includes(path)
    merged = sdk._merge_local_code_and_additional_includes(path) if includes else nullcontext(path.parent)
    with merged as folder:
        folder = Path(folder).resolve()
        os.chdir(folder)
        data = load_yaml(folder / path.name)
        variables = data.get("environment_variables") if isinstance(data, dict) else None
        if isinstance(variables, dict):
            os.environ.update({str(name): str(value) for name, value in variables.items()})
        FlowExecutor.create(Path(path.name), MadeUp(), folder, env_exporter_setup=False)


def chain(error):
    """The error and what it came from, without the engine's wrapper around every tool's error."""
    errors = []
    while error is not None and error not in errors:
        errors.append(error)
        error = error.__cause__ or getattr(error, "inner_exception", None)
    inner = [error for error in errors if not isinstance(error, ResolveToolError)]
    return inner or errors


def missing_package(name, folder):
    """True for a module that neither the flow nor Python itself should have brought."""
    top = (name or "").split(".")[0]
    local = (folder / top).is_dir() or (folder / f"{top}.py").is_file()
    return bool(top) and not local and top not in sys.stdlib_module_names


def blame(errors, path):
    """What caused a refusal: the flow's files, or what this machine lacks."""
    entry = None
    try:
        data = load_yaml(path)
        entry = str(data.get("entry")).split(":")[0]
        kinds = [node.get("type") for node in data.get("nodes") or []]
        if data.get("language") == "csharp" or "csharp" in kinds:
            return "csharp"
    except Exception:
        pass  # it is not a flow, and that is what the engine says
    for error in errors:
        name = type(error).__name__
        if name == "EmptyLLMApiMapping":
            return "package"
        if name == "PackageToolNotFoundError":
            tool = str(error).split("'")[1]
            return "flow" if tool in ("None", "") or is_installed(tool) else "package"
        if name == "GetConnectionError":
            return "connection" if "can be made up" in str(errors[-1]) else "flow"
        if name in ("PythonLoadError", "FailedToLoadModule"):
            cause = errors[-1]
            return "flow" if entry and entry == getattr(cause, "name", "") else blame_import(cause, path.parent)
        if name == "FlowEntryInitializationError":
            return "code"
    return "flow"


def blame_import(cause, folder):
    """What caused a file not to be imported."""
    if isinstance(cause, (SyntaxError, PythonLoadError)):
        return "flow"
    if isinstance(cause, ImportError):
        return "package" if missing_package(cause.name, folder) else "flow"
    return "code"


def is_installed(tool):
    """True where the package that a tool's id begins with is there."""
    try:
        return importlib.util.find_spec(".".join(tool.split(".")[:2])) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def refusals(path):
    """Loads a flow and gives each refusal once."""
    errors = Resolver.refusals
    try:
        load(path)
    except BaseException as error:  # user code may raise anything
        errors.append(error)
    told = []
    for inner in map(chain, errors):
        message = re.sub(f"{re.escape(tempfile.gettempdir())}/tmp\\w+/(tree/)?", "", str(inner[0]))
        refusal = {"class": type(inner[0]).__name__, "message": message[:600], "blame": blame(inner, path)}
        told += [refusal] if refusal not in told else []
    return told


def forked(path, timeout):
    """The refusals that a process of its own tells, which is killed with all that it started."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        with os.fdopen(writer, "w") as pipe:
            json.dump(refusals(path), pipe)
        os._exit(0)
    os.close(writer)
    said = b""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], timeout)
            part = pipe.read(65536) if ready else None
            if not part:
                break
            said += part
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)
    try:
        return json.loads(said)
    except ValueError:
        cause = "the process died" if ready else f"not done after {timeout} s"
        return [{"class": "-", "message": cause, "blame": "code"}]


def main():
    task = json.load(sys.stdin)
    flow_executor.ToolResolver, flow_executor.FlowValidator = Resolver, Validator
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, PF_HOME_DIRECTORY=home)
        root = Path(home, "tree").resolve()
        shutil.copytree(task["tree"], root, symlinks=True, ignore=shutil.ignore_patterns(".git", "target"))
        for flow in task["flows"]:
            print(json.dumps({"flow": flow, "refusals": forked(root / flow, task["timeout"])}), flush=True)


if __name__ == "__main__":
    main()
