"""Runs one workflow after the other until SIGTERM, while it watches when history processes call themselves serving.

Then prints JSON: the times of completed workflows, of failed calls with their words, how many workflows whose start was
confirmed never completed, and each history's changes of health with their times. All times are seconds since the epoch.
"""

import argparse
import asyncio
import json
import os
import signal
import time
from datetime import timedelta

from temporalio import workflow
from temporalio.client import Client
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import ConnectConfig, RPCError, ServiceClient
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

# So many workflows are on their way at any time.
WRITERS = 4
PAUSE = 0.02
# How long the rest may take to complete in the end.
REST = 60


@workflow.defn
class Echo:
    @workflow.run
    async def run(self, text: str) -> str:
        return text


async def write(number, client, queue, said, stop):
    count = 0
    while not stop.is_set():
        count += 1
        name = f"write-{number}-{count}"
        handle = None
        try:
            handle = await client.start_workflow(Echo.run, name, id=name, task_queue=queue)
            await handle.result()
            said["completed"].append(time.time())
        except Exception as error:
            said["failed"].append([time.time(), str(error)])
            if handle is not None:
                said["open"].append(handle)
        await asyncio.sleep(PAUSE)


async def watch(address, changes, stop):
    client = await ServiceClient.connect(ConnectConfig(target_host=address, lazy=True))
    before = None
    while not stop.is_set():
        try:
            service = "temporal.api.workflowservice.v1.HistoryService"
            serves = await client.check_health(service=service, timeout=timedelta(seconds=1))
            now = "serving" if serves else "starting"
        except (RPCError, RuntimeError):
            now = "down"
        if now != before:
            changes.append([time.time(), now])
            before = now
        await asyncio.sleep(PAUSE)


async def lost(handles):
    async def completes(handle):
        try:
            await asyncio.wait_for(handle.result(), REST)
            return True
        except Exception:
            return False

    return (await asyncio.gather(*map(completes, handles))).count(False)


async def play(arguments):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    said = {"completed": [], "failed": [], "open": []}
    health = {address: [] for address in arguments.history}
    client = await Client.connect(arguments.address)
    async with Worker(
        client,
        task_queue="writes",
        workflows=[Echo],
        # The sandbox would read this program again from a file, which it may not have.
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        watchers = [watch(address, changes, stop) for address, changes in health.items()]
        writers = [write(number, client, "writes", said, stop) for number in range(WRITERS)]
        await asyncio.gather(*watchers, *writers)
        said["lost"] = await lost(said.pop("open"))
    said["health"] = health
    print(json.dumps(said), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--history", action="append", default=[])
    # The SDK logs what it repeats to standard output.
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    asyncio.run(play(parser.parse_args()))
    # The SDK's own threads may still run, and crash when the interpreter is taken down under them.
    os._exit(0)


main()
