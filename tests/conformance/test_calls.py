"""Every AWS call of the scenario tests and of the demo, against botocore's service models.

CALLS names the recorder's files, separated by colons.
"""

from collections import Counter

from judge import judge


def test_there_are_calls_of_every_service(calls):
    services = {call.service for call in calls}
    assert services == {
        "backup", "rds", "ec2", "dynamodb", "s3", "sns", "logs", "secretsmanager", "lambda",
    }


def test_every_call_conforms_to_the_service_model(calls):
    found = Counter()
    example = {}
    for call in calls:
        for problem in judge(call):
            text = f"{call.service}:{call.operation} {problem}"
            found[text] += 1
            example.setdefault(text, call)
    report = [f"{count} times, as in {example[text]}:\n    {text}" for text, count in found.items()]
    assert not report, f"{len(calls)} calls, {len(report)} different problems\n" + "\n".join(report)
