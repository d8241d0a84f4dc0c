"""The job: one flow in one process. It loads the flow, answers requests in their order, and ends."""

import contextlib
import json
import os
import re
import shutil
import struct
import sys
import tarfile
import time
import traceback
from pathlib import Path

from flowgate_wire import *

FLOW_DIRECTORY = []  # of this job; empty before there is one


def read_request(fd):
    size, kind = struct.unpack(">IB", read_exactly(fd, 5))
    return kind, read_exactly(fd, size - 1)


def send_answer(fd, kind, body):
    data = memoryview(struct.pack(">IB", len(body) + 1, kind) + body)
    while data:
        data = data[os.write(fd, data) :]


def unpack(stream, root):
    """Unpacks an archive of files, directories and inner links; anything else is refused by name.

    Links are made last, so that nothing is ever written through one.
    """
    links = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            parts = inner_parts(member.name)
            where = f"'{clip(member.name, 200)}' in the flow's archive"
            if parts is None or count >= MAX_MEMBERS:
                fault = "leaves the flow directory" if parts is None else "is one entry too many"
                raise ValueError(f"{where} {fault}")
            path = os.path.join(root, *parts)
            if member.isdir():
                make_directories(root, parts)
            elif member.issym():
                target = os.path.join(*parts[:-1], member.linkname)
                if not parts or inner_parts(target) is None or os.path.isabs(member.linkname):
                    raise ValueError(f"{where} links out of the flow directory")
                links.append((parts, member.linkname))
            elif member.isreg() and not member.issparse() and parts:
                make_directories(root, parts[:-1])
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
                with open(os.open(path, flags, 0o600), "wb") as file:
                    shutil.copyfileobj(archive.extractfile(member), file, MIB)
                    os.fchmod(file.fileno(), member.mode & 0o700 | 0o600)
            else:
                raise ValueError(f"{where} is no file, directory or symbolic link")
    for parts, target in links:
        make_directories(root, parts[:-1])
        os.symlink(target, os.path.join(root, *parts))


def make_directories(root, parts):
    for part in parts:
        root = os.path.join(root, part)
        with contextlib.suppress(FileExistsError):
            os.mkdir(root, 0o700)


def shorten(text):
    """`text` without the job's own directory, so that equal failures read the same in every run."""
    return text.replace(FLOW_DIRECTORY[0] + "/", "") if FLOW_DIRECTORY else text


def describe(error):
    """An exception as the protocol's error object."""
    kind, node, links, link = error, None, [], error
    while isinstance(link, BaseException) and len(links) < 20:
        links.append(link)
        details = getattr(link, "_kwargs", None) or {}
        node = node or getattr(link, "_node_name", None) or details.get("node_name")
        if type(link).__name__ == "GetConnectionError" and details.get("connection"):
            return connection_required(node, details["connection"])
        link = getattr(link, "inner_exception", None) or link.__cause__
    wrappers = {"ResolveToolError", "ToolExecutionError", "ScriptExecutionError"}
    wrappers |= {"PromptflowException", "UserErrorException", "SystemErrorException"}
    for link in links:
        kind = link
        if type(link).__name__ not in wrappers:
            break
    name = type(kind).__name__
    engine = any(base.__name__ == "PromptflowException" for base in type(error).__mro__)
    message = shorten(clip(error, MESSAGE_BYTES))
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__, 50))
    return {
        "type": clip(name, KIB),
        "message": message if engine and message else f"{name}: {message}",
        "node": node if node is None else clip(node, KIB),
        "traceback": clip(shorten(trace), TRACEBACK_BYTES, True),
    }


def connection_required(node, connection, variable=None):
    wants = f"node `{clip(node, KIB)}`" if node else f"environment variable `{clip(variable, KIB)}`"
    message = f"{wants} needs the connection `{clip(connection, KIB)}`"
    node = None if node is None else clip(node, KIB)
    return {"type": "ConnectionRequired", "message": message, "node": node, "traceback": ""}


def run_error(record, nodes):
    """The engine's error record of a finished line as the protocol's error object."""
    if not record:
        return None
    name, inner = record.get("code"), record.get("innerError")
    while isinstance(inner, dict) and inner.get("code"):
        name, inner = inner["code"], inner.get("innerError")
    trace = ""
    for extra in record.get("additionalInfo") or []:
        details = extra.get("info") or {}
        name, trace = details.get("type") or name, details.get("traceback") or trace
    node = (record.get("messageParameters") or {}).get("node_name")
    failed = [key for key, value in nodes.items() if value["status"] == "Failed"]
    node = node or (failed[0] if failed else None)
    return {
        "type": clip(name, KIB),
        "message": shorten(clip(record.get("message"), MESSAGE_BYTES)),
        "node": node and clip(node, KIB),
        "traceback": clip(shorten(trace), TRACEBACK_BYTES, True),
    }


def node_records(infos):
    nodes = {}
    for name, info in (infos or {}).items():
        logs, metrics = info.logs or {}, info.system_metrics or {}
        nodes[name] = {
            "status": info.status.value,
            "duration_ms": round(1000 * (metrics.get("duration") or 0), 3),
            "stdout": clip(logs.get("stdout") or "", NODE_LOG_BYTES),
            "stderr": clip(logs.get("stderr") or "", NODE_LOG_BYTES),
        }
        if info.error:
            nodes[name]["error"] = run_error(info.error, {})
            nodes[name]["error"]["node"] = name
    return nodes


class Flow:
    """A loaded flow and what its lines left for the aggregation."""

    def __init__(self, directory, flow_file):
        from promptflow.executor import FlowExecutor

        apply_environment(os.path.join(directory, flow_file))
        self.directory, self.flow_file = directory, flow_file
        self.executor = FlowExecutor.create(Path(flow_file), {}, Path(directory), raise_ex=False)
        self.flex = hasattr(self.executor, "_aggr_func")
        self.has_aggregation = bool(self.executor._aggr_func if self.flex else self.executor.has_aggregation_node)
        self.inputs = self.executor.get_inputs_definition()
        self.lines = {}

    def loaded(self):
        inputs = {}
        for name, definition in self.inputs.items():
            kind = getattr(definition, "type", None)
            inputs[name] = {"type": getattr(kind, "value", kind)}
            if getattr(definition, "default", None) is not None:
                inputs[name]["default"] = definition.default
        return {"inputs": inputs, "has_aggregation": self.has_aggregation}

    def line(self, request):
        number, inputs = request["line"], request["inputs"]
        answer = {"line": number, "status": "Failed", "output": None, "aggregation_inputs": {}, "error": None}
        answer.update(duration_ms=0, tokens={}, nodes={})
        start = time.perf_counter()
        try:
            result = self.executor.exec_line(dict(inputs), index=number)
            run = result.run_info
            nodes = node_records(result.node_run_infos)
            answer.update(status=run.status.value, nodes=nodes, error=run_error(run.error, nodes))
            metrics = run.system_metrics or {}
            answer["tokens"] = {key: metrics[key] for key in metrics if key.endswith("_tokens")}
            if answer["status"] == "Completed":
                answer["output"] = self.output(result.output)
                answer["aggregation_inputs"] = result.aggregation_inputs or {}
                if self.has_aggregation:
                    kept = answer["output"] if self.flex else answer["aggregation_inputs"]
                    self.lines[number] = (inputs, kept)
        except BaseException as error:  # SystemExit and KeyboardInterrupt pass through the engine
            answer.update(status="Failed", output=None, error=describe(error))
        answer["duration_ms"] = round(1000 * (time.perf_counter() - start), 3)
        return answer

    def output(self, output):
        processor = getattr(self.executor, "_multimedia_processor", None)
        if processor is not None:  # images become files and references, as `pf flow test` does it
            output = processor.persist_multimedia_data(output, Path(self.directory), Path(".promptflow"))
        if not isinstance(output, dict):
            return {"output": output}  # a flex flow; `pf run create` gives it this name
        output.pop("line_number", None)
        return output

    def node(self, request):
        """Runs one node alone, on the given inputs of the flow and outputs of the nodes before it."""
        from promptflow.executor import FlowExecutor

        answer = {"status": "Failed", "output": None, "error": None, "duration_ms": 0, "stdout": "", "stderr": ""}
        start = time.perf_counter()
        try:
            name = request["node"]
            info = FlowExecutor.load_and_exec_node(
                Path(self.flow_file),
                name,
                flow_inputs=request.get("inputs") or {},
                dependency_nodes_outputs=request.get("outputs") or {},
                connections={},
                working_dir=Path(self.directory),
            )
            record = node_records({name: info})[name]
            answer.update(status=record["status"], stdout=record["stdout"], stderr=record["stderr"])
            answer.update(output=info.output, error=record.get("error"))
        except BaseException as error:
            answer.update(status="Failed", output=None, error=describe(error))
        answer["duration_ms"] = round(1000 * (time.perf_counter() - start), 3)
        return answer

    def aggregate(self, request):
        answer = {"metrics": {}, "output": {}, "error": None, "nodes": {}}
        inputs, aggregation_inputs = request.get("inputs") or {}, request.get("aggregation_inputs") or {}
        try:
            lines = request.get("lines")
            if lines and all(line in self.lines for line in lines):
                # The values themselves rather than their JSON: the engine's own runs pass no text either.
                inputs, aggregation_inputs = self.collected(lines)
            result = self.executor.exec_aggregation(inputs, aggregation_inputs)
            answer.update(metrics=result.metrics or {}, output=result.output or {})
            answer["nodes"] = node_records(result.node_run_infos)
            failed = [node["error"] for node in answer["nodes"].values() if node.get("error")]
            answer["error"] = failed[0] if failed else None
        except BaseException as error:
            answer["error"] = describe(error)
        return answer

    def collected(self, lines):
        rows, values = zip(*(self.lines[line] for line in lines))
        if self.flex:
            return {}, list(values)
        defaults = {name: getattr(definition, "default", None) for name, definition in self.inputs.items()}
        names = [name for name in defaults if any(name in row for row in rows)]
        inputs = {name: [row.get(name, defaults[name]) for row in rows] for name in names}
        return inputs, {key: [value[key] for value in values] for key in values[0]}


def apply_environment(flow_file):
    """Sets the flow's `environment_variables` as promptflow's SDK does before it starts the engine."""
    from promptflow._utils.yaml_utils import load_yaml

    try:
        with open(flow_file, encoding="utf-8") as file:
            variables = (load_yaml(file) or {}).get("environment_variables") or {}
        variables = {str(key): value for key, value in variables.items()}
    except Exception:
        return  # the engine says better what is wrong with the file
    for name, value in variables.items():
        text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
        reference = re.match(r"^\$\{([^.]+)\.([^.]+)}$", text.strip())
        if reference:
            raise MissingConnection(connection_required(None, reference.group(1), name))
        if name not in DENIED_ENVIRONMENT:
            os.environ[name] = text


class MissingConnection(Exception):
    """Carries a finished error object."""


def serve_flow(spec, requests, answers, archive):
    """The life of a job: load, answer in order, end when asked to."""
    flow = None
    try:
        directory = os.path.join(spec["directory"], "flow")
        FLOW_DIRECTORY.append(directory)
        for path in (spec["directory"], directory, *(os.environ[name] for name in JOB_DIRECTORIES)):
            os.mkdir(path, 0o700)
        with open(archive, "rb") as stream:
            unpack(stream, directory)
        os.chdir(directory)
        flow = Flow(directory, spec["flow_file"])
        body = flow.loaded()
    except MissingConnection as error:
        body = {"error": error.args[0]}
    except BaseException as error:
        body = {"error": describe(error)}
    answer(answers, LOADED, body, spec["result_bytes"], "the description of the flow")
    while flow is not None and "error" not in body:
        kind, payload = read_request(requests)
        if kind == LINE:
            request = json_value(payload)
            answer(answers, RESULT, flow.line(request), spec["result_bytes"], f"the result of row {request['line'] + 1}")
        elif kind == NODE:
            request = json_value(payload)
            answer(answers, NODE_RESULT, flow.node(request), spec["result_bytes"], "the node's result")
        elif kind == AGGREGATE:
            answer(answers, AGGREGATED, flow.aggregate(json_value(payload)), spec["result_bytes"], "the aggregation")
        else:
            return


def answer(fd, kind, body, limit, what):
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    data = json_bytes(body)
    if len(data) > limit:
        message = f"{what} is {len(data)} bytes of JSON; the limit is {limit}: return less"
        error = {"type": "OutputTooLarge", "message": message, "node": None, "traceback": ""}
        small = {"error": error}
        if kind == RESULT:
            small = {**body, "status": "Failed", "output": None, "aggregation_inputs": {}}
            small.update(error=error, nodes={})
        elif kind == NODE_RESULT:
            small = {**body, "status": "Failed", "output": None, "error": error, "stdout": "", "stderr": ""}
        elif kind == AGGREGATED:
            small = {"metrics": {}, "output": {}, "error": error, "nodes": {}}
        data = json_bytes(small)
    send_answer(fd, kind, data)
