"""The start: imports the engine without its telemetry, warms it up, and says what is installed."""

import contextlib
import logging
import multiprocessing
import os
import platform
import re
import sys
import threading
import types
from pathlib import Path

from flowgate_job import node_records
from flowgate_wire import *

# (module or class of the engine, attribute, path below the engine's home, what is made of it): paths and the locks of
# files, fixed at import, made anew for a job.
HOMES = []

WARM_FLOW = """
inputs: {text: {type: string, default: warm}}
outputs: {text: {type: string, reference: "${echo.output}"}}
nodes:
- {name: echo, type: python, source: {type: code, path: echo.py}, inputs: {text: "${inputs.text}"}}
- {name: n, type: python, source: {type: code, path: n.py}, inputs: {texts: "${echo.output}"}, aggregation: true}
"""
WARM_PROMPT = """- {name: ask, type: prompt, source: {type: code, path: ask.jinja2}, inputs: {text: "${inputs.text}"}}
"""
WARM_CODE = """
from promptflow.core import log_metric, tool
@tool
def {0}: return {1}
"""


def preload(own):
    """Imports the engine and runs a small flow, so that no job pays for lazy imports."""
    os.environ.update(HOME=own, PF_HOME_DIRECTORY=os.path.join(own, ".promptflow"), PF_LOGGING_LEVEL="CRITICAL")
    os.environ.setdefault("PF_TRACING_SKIP_LOCAL_SETUP", "true")
    with silent_imports():
        from promptflow.executor import FlowExecutor

        tools = True
        try:
            from promptflow.tools import aoai, openai, template_rendering  # noqa: F401
        except ImportError:
            tools = False
    find_homes(Path(own, ".promptflow"))
    flow = Path(own, "warm")
    flow.mkdir()
    Path(flow, "flow.dag.yaml").write_text(WARM_FLOW + (WARM_PROMPT if tools else ""))
    Path(flow, "echo.py").write_text(WARM_CODE.format("echo(text: str) -> str", "text"))
    Path(flow, "n.py").write_text(WARM_CODE.format("n(texts: list)", "log_metric('count', len(texts))"))
    Path(flow, "ask.jinja2").write_text("{{text}}")
    path, modules = list(sys.path), set(sys.modules)
    warm = FlowExecutor.create(Path("flow.dag.yaml"), {}, flow, raise_ex=False)
    result = warm.exec_line({}, index=0)
    if result.run_info.status.value != "Completed":
        raise Fatal("WarmUpFailed", f"the engine cannot run a trivial flow: {clip(result.run_info.error, KIB)}")
    warm.exec_aggregation({"text": ["warm"]}, {key: [value] for key, value in result.aggregation_inputs.items()})
    json_bytes({"nan": float("nan"), "nodes": node_records(result.node_run_infos)})
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(flow)) or name == "__pf_main__":
            del sys.modules[name]
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(1)


@contextlib.contextmanager
def silent_imports():
    """Keeps the imports from sending telemetry and from starting threads, which a fork would not survive."""

    class NoTelemetry(logging.NullHandler):
        def __init__(self, *_args, **_kwargs):
            super().__init__()

    for name in ("promptflow._sdk._telemetry.logging_handler", "promptflow._telemetry.logging_handler"):
        module = types.ModuleType(name)
        module.PromptFlowSDKLogHandler = module.get_appinsights_log_handler = NoTelemetry
        module.get_scrubbed_cloud_role = lambda: ""
        sys.modules[name] = module
    start, lock = threading.Thread.start, multiprocessing.Lock
    threading.Thread.start = lambda thread: None
    multiprocessing.Lock = threading.Lock  # the other one would be shared by all jobs: one could keep it from the others
    try:
        yield
    finally:
        threading.Thread.start, multiprocessing.Lock = start, lock


def find_homes(home):
    """Remembers where the engine has noted its home, which is the worker's and closed to the jobs.

    The locks of files there are not used across a fork either: filelock refuses that.
    """
    import filelock  # of the engine

    for module in [module for name, module in sys.modules.items() if name.startswith("promptflow.")]:
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        for holder in [module, *(kind for kind in classes if kind.__module__ == module.__name__)]:
            for name, value in vars(holder).items():
                is_lock = isinstance(value, filelock.BaseFileLock)
                path = Path(value.lock_file) if is_lock else value
                if isinstance(path, Path) and (path == home or home in path.parents):
                    HOMES.append((holder, name, path.relative_to(home), type(value) if is_lock else Path))


def move_homes(home):
    for holder, name, relative, kind in HOMES:
        setattr(holder, name, kind(home / relative))


def hello(isolation):
    from importlib import metadata

    packages = {}
    for distribution in metadata.distributions():
        about = distribution.metadata  # read anew each time
        if about["Name"] and about["Version"]:  # half a package is none
            packages.setdefault(re.sub(r"[-_.]+", "-", about["Name"]).lower(), about["Version"])
    implementation = sys.implementation.version
    version = "{0.major}.{0.minor}.{0.micro}".format(implementation)
    if implementation.releaselevel != "final":
        version += implementation.releaselevel[0] + str(implementation.serial)
    markers = {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "python_full_version": platform.python_version(),
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
    }
    engine = packages.get("promptflow") or packages.get("promptflow-core") or ""
    body = {"protocol": PROTOCOL, "python": platform.python_version(), "promptflow": engine}
    return {**body, "packages": packages, "markers": markers, "isolation": isolation}
