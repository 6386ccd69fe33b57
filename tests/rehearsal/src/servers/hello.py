"""Starts a worker, has it run one workflow with one activity, and prints the result as JSON.

Ends with 0 only if the workflow completed with the expected result within --limit seconds; else the
reason is on stderr. The authority of the calls is the host part of --address.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow.defn
class Hello:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(
            greet, name, start_to_close_timeout=timedelta(seconds=10)
        )


async def until_it_works(step):
    """Repeats a step that a server refuses while it starts; the limit of the whole ends it."""
    while True:
        try:
            return await step()
        except (RPCError, RuntimeError) as refusal:
            latest["refusal"] = str(refusal)
            await asyncio.sleep(0.25)


async def play(arguments):
    started = time.monotonic()
    queue = f"queue-of-{arguments.id}"

    async def run():
        # A client of its own for each try: a worker whose start was refused stays registered with its client, which
        # then takes no second one for the same queue.
        client = await Client.connect(arguments.address, namespace=arguments.namespace)
        # The worker asks for the namespace first, which a new server may not know yet.
        async with Worker(
            client,
            task_queue=queue,
            workflows=[Hello],
            activities=[greet],
            # The sandbox would read this program again from a file, which it may not have.
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            handle = await client.start_workflow(
                Hello.run,
                arguments.id,
                id=arguments.id,
                task_queue=queue,
                execution_timeout=timedelta(seconds=arguments.limit),
            )
            return handle.result_run_id, await handle.result()

    run_id, result = await until_it_works(run)
    return {
        "workflow_id": arguments.id,
        "run_id": run_id,
        "result": result,
        "seconds": round(time.monotonic() - started, 2),
    }


latest = {}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--id", required=True)
    parser.add_argument("--limit", type=float, default=120)
    arguments = parser.parse_args()
    try:
        outcome = asyncio.run(asyncio.wait_for(play(arguments), arguments.limit))
    except asyncio.TimeoutError:
        refusal = latest.get("refusal", "nothing was refused")
        sys.exit(f"no result within {arguments.limit:g} s; the last refusal: {refusal}")
    print(json.dumps(outcome), flush=True)
    if outcome["result"] != f"hello {arguments.id}":
        sys.exit("the workflow completed with another result than its activity gives")
    # The SDK's own threads may still run, and crash when the interpreter is taken down under them.
    os._exit(0)


main()
