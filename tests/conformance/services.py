"""What AWS's services carry when they call something of ours under their own name, and which of them must.

Condition keys that a service does not send are the commonest reason why an alarm, an event or a message never
arrives: nothing says so. Each row has its source. What a page leaves open is in `maybe`, and must not matter.
"""

from dataclasses import dataclass

ARN, ACCOUNT = "aws:SourceArn", "aws:SourceAccount"


@dataclass(frozen=True)
class Sends:
    """What a service carries in one kind of call."""

    service: str
    action: str
    #: Keys that are always there.
    always: tuple
    #: Keys of which nothing certain is known.
    maybe: tuple
    source: str


SENDS = [
    Sends("events.amazonaws.com", "lambda:InvokeFunction", (ARN, ACCOUNT), (),
          "EventBridge user guide, Using resource-based policies: SourceArn is the rule's; Lambda developer guide, "
          "Granting function access to AWS services: and the account is sent"),
    Sends("events.amazonaws.com", "sqs:SendMessage", (ARN,), (ACCOUNT,),
          "EventBridge user guide, Using dead-letter queues to process undelivered events: ArnEquals, the rule's ARN"),
    Sends("events.amazonaws.com", "sts:AssumeRole", (ARN, ACCOUNT), (),
          "EventBridge user guide, Cross-service confused deputy prevention: both keys, for a rule's target"),
    Sends("sns.amazonaws.com", "lambda:InvokeFunction", (ARN,), (),
          "aws-cli issue 1996: SNS sends no account when it invokes Lambda, a permission with one never matches"),
    Sends("sns.amazonaws.com", "sqs:SendMessage", (ARN,), (ACCOUNT,),
          "SNS developer guide, Configuring an Amazon SNS dead-letter queue: ArnEquals with the topic's ARN; the same for "
          "a queue that is subscribed (Subscribing an Amazon SQS queue to an Amazon SNS topic)"),
    Sends("pipes.amazonaws.com", "sts:AssumeRole", (ARN, ACCOUNT), (),
          "EventBridge user guide, the template of its tutorial on pipes: PipeTutorialPipeRole asks for the pipe's ARN and "
          "the account"),
    Sends("cloudwatch.amazonaws.com", "sns:Publish", (ARN, ACCOUNT), (),
          "SNS developer guide, Example cases for Amazon SNS access control: both keys for CloudWatch alarms"),
    Sends("cloudwatch.amazonaws.com", "kms:Decrypt", (ARN, ACCOUNT), (),
          "SNS developer guide, Key management: both keys may be in the key's policy of an encrypted topic, except for "
          "events of EventBridge"),
    Sends("cloudwatch.amazonaws.com", "kms:GenerateDataKey", (ARN, ACCOUNT), (), "as above"),
    Sends("backup.amazonaws.com", "sns:Publish", (), (ARN, ACCOUNT),
          "AWS Backup developer guide, Cross-service confused deputy prevention: SourceArn must be a vault when AWS "
          "Backup publishes; its own example of a topic's policy has no condition, and nothing promises the keys"),
    Sends("backup.amazonaws.com", "kms:Decrypt", (), (ARN, ACCOUNT), "as above: nothing promises the keys"),
    Sends("backup.amazonaws.com", "kms:GenerateDataKey", (), (ARN, ACCOUNT), "as above"),
    Sends("backup.amazonaws.com", "sts:AssumeRole", (ACCOUNT,), (ARN,),
          "not documented; nationalarchives/terraform-aws-immutable-aws-backup, iam-service-role.tf, asks for the "
          "account with StringEquals, in production"),
    Sends("scheduler.amazonaws.com", "sts:AssumeRole", (ARN, ACCOUNT), (),
          "EventBridge Scheduler user guide, Confused deputy prevention: SourceArn is the schedule group's"),
    Sends("vpc-flow-logs.amazonaws.com", "sts:AssumeRole", (ARN, ACCOUNT), (),
          "VPC user guide, IAM role for publishing flow logs to CloudWatch Logs"),
    Sends("lambda.amazonaws.com", "sts:AssumeRole", (), (),
          "Lambda developer guide, Execution role: its trust policies have no condition; nothing promises a key"),
]


def sends(service, action):
    """What a service carries when it calls this; a call that is not in the table has no answer."""
    found = [row for row in SENDS if (row.service, row.action.lower()) == (service, action.lower())]
    if not found:
        raise KeyError(f"what {service} sends with {action} is not in services.py: look it up, and say where it stands")
    return found[0]


def contexts(row, arn, account):
    """Every context that a service may call with: with and without each key of which nothing is known."""
    values = {ARN: arn, ACCOUNT: account}
    found = [{key: values[key] for key in row.always}]
    for key in row.maybe:
        found += [context | {key: values[key]} for context in found]
    return found
