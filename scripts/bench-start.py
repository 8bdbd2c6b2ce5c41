"""How long bootstraps take from their start to the first request for an event, measured in turns.

    python scripts/bench-start.py [--rounds N] NAME=BOOTSTRAP[,VARIABLE=VALUE...]...

Prints per name the median, the fastest and the peak memory, and the median as a multiple of the first name's. In turns,
so that what else the machine does hits all of them alike.
"""

import argparse
import os
import socket
import statistics
import time

#: What the function wants to know. It calls nothing before the first event.
ENVIRONMENT = {
    "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_LAMBDA_FUNCTION_NAME": "restore-proof", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_LOG_GROUP_NAME": "function",
    "AWS_LAMBDA_LOG_STREAM_NAME": "stream", "_HANDLER": "bootstrap",
    "LEDGER_TABLE": "ledger", "RESULTS_BUCKET": "results", "POLICY_KEY": "policy/policy.toml",
    "TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:topic", "RECORDS_LOG_GROUP": "records",
    "RESTORE_ROLE_ARN": "arn:aws:iam::123456789012:role/restore", "NAME_PREFIX": "restore-proof", "TYPES": "Aurora,EC2,RDS",
    "BACKUP_VAULT_NAMES": "central", "BACKUP_JOB_VAULT_NAMES": "", "NETWORK_CIDR": "10.255.0.0/24",
    "SUBNET_IDS": "subnet-1,subnet-2", "DB_SUBNET_GROUP": "isolated", "DB_SECURITY_GROUP_IDS": "sg-1",
    "EC2_SUBNET_IDS": "subnet-1", "EC2_SECURITY_GROUP_IDS": "sg-2", "EC2_VOLUME_KEY_ARN": "",
    "RESET_KEY_SECRET": "reset", "MAX_CONCURRENT_RESTORES": "4", "DATABASE_CA_BUNDLE_URI": "",
    "LOG_LEVEL": "info",
}


def start(bootstrap, variables):
    """Starts a bootstrap; seconds until it asks for an event, and its peak memory in KiB until then."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        environment = ENVIRONMENT | variables
        environment["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{server.getsockname()[1]}"
        null = os.open(os.devnull, os.O_RDWR)
        began = time.perf_counter()
        process = os.posix_spawn(bootstrap, [bootstrap], environment,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, null, fd) for fd in (0, 1, 2)])
        try:
            connection, _ = server.accept()
            with connection:
                request = connection.recv(4096)
            took = time.perf_counter() - began
        except TimeoutError:
            raise SystemExit(f"error: {bootstrap} did not ask for an event within 20 s") from None
        finally:
            os.kill(process, 9)
            _, _, usage = os.wait4(process, 0)
            os.close(null)
    if b"/runtime/invocation/next" not in request:
        raise SystemExit(f"error: the first request of {bootstrap} is not for an event: {request[:100]!r}")
    return took, usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser(description="How long bootstraps take to ask for their first event, in turns.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("bootstraps", nargs="+", metavar="NAME=BOOTSTRAP[,VARIABLE=VALUE...]")
    given = parser.parse_args()
    contestants = {}
    for text in given.bootstraps:
        name, _, rest = text.partition("=")
        bootstrap, *variables = rest.split(",")
        contestants[name] = (bootstrap, dict(variable.split("=", 1) for variable in variables))
    times = {name: [] for name in contestants}
    memory = {}
    for bootstrap, variables in contestants.values():
        start(bootstrap, variables)  # from the disk into memory
    for _ in range(given.rounds):
        for name, (bootstrap, variables) in contestants.items():
            took, peak = start(bootstrap, variables)
            times[name].append(took)
            memory[name] = peak
    first = statistics.median(next(iter(times.values())))
    for name, all_of_it in times.items():
        median = statistics.median(all_of_it)
        print(f"{name:<24} median {median * 1000:7.2f} ms   fastest {min(all_of_it) * 1000:7.2f} ms   "
              f"{memory[name] / 1024:5.1f} MiB   {median / first:5.2f} x")


if __name__ == "__main__":
    main()
