"""Which AWS API calls CloudFormation makes of a resource, and with which parameters.

The service models of botocore say what these calls take. A property that becomes no parameter here is red, and so
is a parameter that the model does not know: nothing is left out by accident.
"""

import json


class Properties:
    """The properties of a resource; knows which of them went into a call."""

    def __init__(self, resource):
        self.resource, self.values, self.used = resource, resource.properties, set()

    def get(self, name, default=None):
        self.used.add(name)
        return self.values.get(name, default)

    def take(self, *names, **renamed):
        """These properties where they are given; `api_member="CloudFormationName"` renames one."""
        pairs = [(name, name) for name in names] + list(renamed.items())
        return {api: self.get(name) for api, name in pairs if self.get(name) is not None}

    def unused(self):
        return sorted(name for name in self.values if name not in self.used)


def document(value):
    """A policy or a pattern as CloudFormation sends it: JSON without spaces."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def lower_first(value):
    """The members of an API whose names begin in lower case."""
    if isinstance(value, list):
        return [lower_first(item) for item in value]
    if isinstance(value, dict):
        return {name[0].lower() + name[1:]: lower_first(item) for name, item in value.items()}
    return value


def tags_as_map(p, name="Tags"):
    tags = p.get(name)
    return {tag["Key"]: tag["Value"] for tag in tags} if isinstance(tags, list) else tags or {}


def tagged(p, kind):
    """EC2's form of tags at creation."""
    tags = p.get("Tags")
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def attributes(p, *names):
    """SQS and SNS take attributes as text."""
    found = {}
    for name, value in p.take(*names).items():
        found[name] = document(value) if isinstance(value, dict) else str(value).lower() \
            if isinstance(value, bool) else str(value)
    return found


# --- one function per resource type: yields (service, operation, parameters) -----------------------------


def _alarm(p):
    yield "cloudwatch", "PutMetricAlarm", {"AlarmName": p.resource.name} | p.take(
        "ActionsEnabled", "AlarmActions", "AlarmDescription", "AlarmName", "ComparisonOperator", "DatapointsToAlarm",
        "Dimensions", "EvaluateLowSampleCountPercentile", "EvaluationPeriods", "ExtendedStatistic",
        "InsufficientDataActions", "MetricName", "Metrics", "Namespace", "OKActions", "Period", "Statistic", "Tags",
        "Threshold", "ThresholdMetricId", "TreatMissingData", "Unit")


def _composite_alarm(p):
    yield "cloudwatch", "PutCompositeAlarm", {"AlarmName": p.resource.name} | p.take(
        "ActionsEnabled", "ActionsSuppressor", "ActionsSuppressorExtensionPeriod", "ActionsSuppressorWaitPeriod",
        "AlarmActions", "AlarmDescription", "AlarmName", "AlarmRule", "InsufficientDataActions", "OKActions", "Tags")


def _stack(p):
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in p.get("Parameters", {}).items()]
    yield "cloudformation", "CreateStack", {
        "StackName": p.resource.stack.children[p.resource.logical].name, "Parameters": parameters,
        # What the packager writes there.
        "TemplateURL": f"https://s3.amazonaws.com/artifacts/{p.get('TemplateURL')}",
    } | p.take("NotificationARNs", "Tags", "TimeoutInMinutes")


def _table(p):
    yield "dynamodb", "CreateTable", {"TableName": p.resource.name} | p.take(
        "AttributeDefinitions", "BillingMode", "DeletionProtectionEnabled", "GlobalSecondaryIndexes", "KeySchema",
        "LocalSecondaryIndexes", "OnDemandThroughput", "ProvisionedThroughput", "StreamSpecification", "TableClass",
        "TableName", "Tags") | {"SSESpecification": {
            {"SSEEnabled": "Enabled"}.get(k, k): v for k, v in p.get("SSESpecification", {}).items()}}
    if p.get("TimeToLiveSpecification"):
        yield "dynamodb", "UpdateTimeToLive", {"TableName": p.resource.name} | p.take("TimeToLiveSpecification")
    if p.get("PointInTimeRecoverySpecification"):
        yield "dynamodb", "UpdateContinuousBackups", {"TableName": p.resource.name} | p.take(
            "PointInTimeRecoverySpecification")


def _flow_log(p):
    yield "ec2", "CreateFlowLogs", {"ResourceIds": [p.get("ResourceId")]} | p.take(
        "DeliverCrossAccountRole", "DeliverLogsPermissionArn", "DestinationOptions", "LogDestination",
        "LogDestinationType", "LogFormat", "LogGroupName", "MaxAggregationInterval", "ResourceType", "TrafficType",
    ) | tagged(p, "vpc-flow-log")


def permission(rule):
    """An IpPermission of EC2 from a rule of CloudFormation, and what of the rule is none of it."""
    rule = dict(rule)
    found = {n: int(rule.pop(n)) if n.endswith("Port") else rule.pop(n)
             for n in ("IpProtocol", "FromPort", "ToPort") if n in rule}
    described = {"Description": rule.pop("Description")} if "Description" in rule else {}
    for source, member, key in (("CidrIp", "IpRanges", "CidrIp"), ("CidrIpv6", "Ipv6Ranges", "CidrIpv6"),
                                ("DestinationPrefixListId", "PrefixListIds", "PrefixListId"),
                                ("SourcePrefixListId", "PrefixListIds", "PrefixListId"),
                                ("DestinationSecurityGroupId", "UserIdGroupPairs", "GroupId"),
                                ("SourceSecurityGroupId", "UserIdGroupPairs", "GroupId")):
        if source in rule:
            found[member] = [{key: rule.pop(source)} | described]
    return found | rule


def _security_group(p):
    yield "ec2", "CreateSecurityGroup", {
        "GroupName": p.get("GroupName") or f"{p.resource.stack.name}-{p.resource.logical}-ABCDEFGHIJ12",
        "Description": p.get("GroupDescription"),
    } | p.take("VpcId") | tagged(p, "security-group")
    for member, operation in (("SecurityGroupIngress", "AuthorizeSecurityGroupIngress"),
                              ("SecurityGroupEgress", "AuthorizeSecurityGroupEgress")):
        if p.get(member):
            yield "ec2", operation, {"GroupId": p.resource.ref,
                                     "IpPermissions": [permission(rule) for rule in p.get(member)]}


def _security_group_rule(operation):
    def calls(p):
        rule = {name: p.get(name) for name in p.values if name != "GroupId"}
        yield "ec2", operation, {"GroupId": p.get("GroupId"), "IpPermissions": [permission(rule)]}
    return calls


def _subnet(p):
    yield "ec2", "CreateSubnet", p.take("AvailabilityZone", "AvailabilityZoneId", "CidrBlock", "Ipv6CidrBlock",
                                        "VpcId") | tagged(p, "subnet")
    if p.get("MapPublicIpOnLaunch") is not None:
        yield "ec2", "ModifySubnetAttribute", {"SubnetId": p.resource.ref, "MapPublicIpOnLaunch": {
            "Value": p.get("MapPublicIpOnLaunch")}}


def _vpc(p):
    yield "ec2", "CreateVpc", p.take("CidrBlock", "InstanceTenancy") | tagged(p, "vpc")
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        if p.get(name) is not None:
            yield "ec2", "ModifyVpcAttribute", {"VpcId": p.resource.ref, name: {"Value": p.get(name)}}


def _vpc_endpoint(p):
    policy = {"PolicyDocument": document(p.get("PolicyDocument"))} if p.get("PolicyDocument") else {}
    yield "ec2", "CreateVpcEndpoint", p.take("DnsOptions", "IpAddressType", "PrivateDnsEnabled", "RouteTableIds",
                                             "SecurityGroupIds", "ServiceName", "ServiceRegion", "SubnetIds",
                                             "VpcEndpointType", "VpcId") | policy | tagged(p, "vpc-endpoint")


def _event_bus(p):
    yield "events", "CreateEventBus", p.take("DeadLetterConfig", "Description", "EventSourceName", "KmsKeyIdentifier",
                                             "LogConfig", "Name", "Tags")
    if p.get("Policy"):
        yield "events", "PutPermission", {"EventBusName": p.get("Name"), "Policy": document(p.get("Policy"))}


def _event_bus_policy(p):
    statement = p.get("Statement")
    if statement:
        if isinstance(statement, dict):
            statement = {"Sid": p.get("StatementId")} | statement
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        yield "events", "PutPermission", {"Policy": document(policy)} | p.take("EventBusName", "StatementId")
    else:
        yield "events", "PutPermission", p.take("Action", "Condition", "EventBusName", "Principal", "StatementId")


def _rule(p):
    pattern = {"EventPattern": document(p.get("EventPattern"))} if p.get("EventPattern") else {}
    yield "events", "PutRule", {"Name": p.resource.name} | pattern | p.take(
        "Description", "EventBusName", "Name", "RoleArn", "ScheduleExpression", "State", "Tags")
    if p.get("Targets"):
        yield "events", "PutTargets", {"Rule": p.resource.name} | p.take("EventBusName", "Targets")


def _managed_policy(p):
    yield "iam", "CreatePolicy", {"PolicyName": p.resource.name, "PolicyDocument": document(p.get("PolicyDocument"))
                                  } | p.take("Description", "Path", PolicyName="ManagedPolicyName")
    for member, operation, key in (("Roles", "AttachRolePolicy", "RoleName"), ("Users", "AttachUserPolicy", "UserName"),
                                   ("Groups", "AttachGroupPolicy", "GroupName")):
        for name in p.get(member) or []:
            yield "iam", operation, {key: name, "PolicyArn": p.resource.ref}


def _role(p):
    yield "iam", "CreateRole", {
        "RoleName": p.resource.name, "AssumeRolePolicyDocument": document(p.get("AssumeRolePolicyDocument")),
    } | p.take("Description", "MaxSessionDuration", "Path", "PermissionsBoundary", "RoleName", "Tags")
    for policy in p.get("Policies") or []:
        yield "iam", "PutRolePolicy", policy | {"RoleName": p.resource.name,
                                                "PolicyDocument": document(policy["PolicyDocument"])}
    for arn in p.get("ManagedPolicyArns") or []:
        yield "iam", "AttachRolePolicy", {"RoleName": p.resource.name, "PolicyArn": arn}


def _key(p):
    yield "kms", "CreateKey", {"Policy": document(p.get("KeyPolicy")), "Tags": [
        {"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in p.get("Tags") or []]} | p.take(
        "BypassPolicyLockoutSafetyCheck", "Description", "KeySpec", "KeyUsage", "MultiRegion", "Origin")
    if p.get("EnableKeyRotation"):
        yield "kms", "EnableKeyRotation", {"KeyId": p.resource.ref} | p.take("RotationPeriodInDays")
    if p.get("Enabled") is False:
        yield "kms", "DisableKey", {"KeyId": p.resource.ref}
    if p.get("PendingWindowInDays") is not None:
        yield "kms", "ScheduleKeyDeletion", {"KeyId": p.resource.ref} | p.take("PendingWindowInDays")


def _alias(p):
    yield "kms", "CreateAlias", p.take("AliasName", "TargetKeyId")


def _invoke_config(p):
    yield "lambda", "PutFunctionEventInvokeConfig", p.take(
        "DestinationConfig", "FunctionName", "MaximumEventAgeInSeconds", "MaximumRetryAttempts", "Qualifier")


def _function(p):
    yield "lambda", "CreateFunction", {"FunctionName": p.resource.name, "Tags": tags_as_map(p)} | p.take(
        "Architectures", "Code", "CodeSigningConfigArn", "DeadLetterConfig", "Description", "Environment",
        "EphemeralStorage", "FileSystemConfigs", "FunctionName", "Handler", "KMSKeyArn", "Layers", "LoggingConfig",
        "MemorySize", "PackageType", "Role", "Runtime", "SnapStart", "Timeout", "TracingConfig", "VpcConfig",
        KMSKeyArn="KmsKeyArn")
    if p.get("ReservedConcurrentExecutions") is not None:
        yield "lambda", "PutFunctionConcurrency", {"FunctionName": p.resource.name} | p.take(
            "ReservedConcurrentExecutions")
    if p.get("RecursiveLoop"):
        yield "lambda", "PutFunctionRecursionConfig", {"FunctionName": p.resource.name} | p.take("RecursiveLoop")


def _permission(p):
    yield "lambda", "AddPermission", {"StatementId": f"{p.resource.stack.name}-{p.resource.logical}-A1"[-100:]} \
        | p.take("Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType", "Principal", "PrincipalOrgID",
                 "SourceAccount", "SourceArn")


def _log_group(p):
    tags = {"tags": tags_as_map(p)} if p.get("Tags") else {}
    yield "logs", "CreateLogGroup", {"logGroupName": p.resource.name} | tags | p.take(
        deletionProtectionEnabled="DeletionProtectionEnabled", kmsKeyId="KmsKeyId", logGroupClass="LogGroupClass",
        logGroupName="LogGroupName")
    if p.get("RetentionInDays") is not None:
        yield "logs", "PutRetentionPolicy", {"logGroupName": p.resource.name} | p.take(
            retentionInDays="RetentionInDays")


def _metric_filter(p):
    transformations = lower_first(p.get("MetricTransformations"))
    for transformation in transformations:
        if "dimensions" in transformation:
            transformation["dimensions"] = {d["key"]: d["value"] for d in transformation["dimensions"]}
    yield "logs", "PutMetricFilter", {"filterName": p.resource.name, "metricTransformations": transformations} \
        | p.take(applyOnTransformedLogs="ApplyOnTransformedLogs", filterName="FilterName",
                 filterPattern="FilterPattern", logGroupName="LogGroupName")


def _db_subnet_group(p):
    yield "rds", "CreateDBSubnetGroup", {"DBSubnetGroupName": p.resource.name} | p.take(
        "DBSubnetGroupDescription", "DBSubnetGroupName", "SubnetIds", "Tags")


def _domain_list(p):
    yield "route53resolver", "CreateFirewallDomainList", {"CreatorRequestId": "-"} | p.take("Name", "Tags")
    if p.get("Domains"):
        yield "route53resolver", "UpdateFirewallDomains", {"FirewallDomainListId": p.resource.ref,
                                                           "Operation": "ADD"} | p.take("Domains")


def _rule_group(p):
    yield "route53resolver", "CreateFirewallRuleGroup", {"CreatorRequestId": "-"} | p.take("Name", "Tags")
    for rule in p.get("FirewallRules") or []:
        yield "route53resolver", "CreateFirewallRule", {
            "CreatorRequestId": "-", "FirewallRuleGroupId": p.resource.ref, "Name": "as CloudFormation calls it"} | rule


def _rule_group_association(p):
    yield "route53resolver", "AssociateFirewallRuleGroup", {"CreatorRequestId": "-"} | p.take(
        "FirewallRuleGroupId", "MutationProtection", "Name", "Priority", "Tags", "VpcId")


def _bucket(p):
    bucket = {"Bucket": p.resource.name}
    yield "s3", "CreateBucket", bucket | p.take(Bucket="BucketName", ObjectLockEnabledForBucket="ObjectLockEnabled")
    if p.get("BucketEncryption"):
        rules = [{{"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"}.get(k, k): v
                  for k, v in rule.items()} for rule in p.get("BucketEncryption")["ServerSideEncryptionConfiguration"]]
        yield "s3", "PutBucketEncryption", bucket | {"ServerSideEncryptionConfiguration": {"Rules": rules}}
    if p.get("PublicAccessBlockConfiguration"):
        yield "s3", "PutPublicAccessBlock", bucket | p.take("PublicAccessBlockConfiguration")
    if p.get("OwnershipControls"):
        yield "s3", "PutBucketOwnershipControls", bucket | p.take("OwnershipControls")
    if p.get("VersioningConfiguration"):
        yield "s3", "PutBucketVersioning", bucket | p.take("VersioningConfiguration")
    if p.get("LifecycleConfiguration"):
        rules = []
        for rule in p.get("LifecycleConfiguration")["Rules"]:
            rule = {{"Id": "ID"}.get(k, k): v for k, v in rule.items()}
            # CloudFormation writes the prefix, or none for the whole bucket, into a filter.
            expiration = {"Expiration": {"Days": rule.pop("ExpirationInDays")}} if "ExpirationInDays" in rule else {}
            rules.append(rule | expiration | {"Filter": {"Prefix": rule.pop("Prefix", "")}})
        yield "s3", "PutBucketLifecycleConfiguration", bucket | {"LifecycleConfiguration": {"Rules": rules}}
    if p.get("Tags"):
        yield "s3", "PutBucketTagging", bucket | {"Tagging": {"TagSet": p.get("Tags")}}


def _dashboard(p):
    yield "cloudwatch", "PutDashboard", p.take("DashboardBody", "DashboardName")


def _query_definition(p):
    yield "logs", "PutQueryDefinition", {
        api: p.get(name) for api, name in (("name", "Name"), ("logGroupNames", "LogGroupNames"), ("queryString", "QueryString"))}


def _glue_database(p):
    yield "glue", "CreateDatabase", p.take("CatalogId", "DatabaseInput")


def _glue_table(p):
    yield "glue", "CreateTable", p.take("CatalogId", "DatabaseName", "TableInput")


def _named_query(p):
    yield "athena", "CreateNamedQuery", p.take("Database", "Description", "Name", "QueryString", "WorkGroup")


def _work_group(p):
    # What CloudFormation does itself: deletes queries and results' history with the workgroup.
    p.get("RecursiveDeleteOption")
    p.get("State")
    yield "athena", "CreateWorkGroup", p.take("Description", "Name", Configuration="WorkGroupConfiguration")


def _bucket_policy(p):
    yield "s3", "PutBucketPolicy", p.take("Bucket") | {"Policy": document(p.get("PolicyDocument"))}


def _topic(p):
    yield "sns", "CreateTopic", {"Name": p.resource.name} | p.take("Tags", Name="TopicName") | {
        "Attributes": attributes(p, "ContentBasedDeduplication", "DisplayName", "FifoTopic", "KmsMasterKeyId",
                                 "SignatureVersion", "TracingConfig")}


def _topic_policy(p):
    for topic in p.get("Topics"):
        yield "sns", "SetTopicAttributes", {"TopicArn": topic, "AttributeName": "Policy",
                                            "AttributeValue": document(p.get("PolicyDocument"))}


def _subscription(p):
    yield "sns", "Subscribe", p.take("Endpoint", "Protocol", "TopicArn") | {
        "Attributes": attributes(p, "DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery",
                                 "RedrivePolicy", "SubscriptionRoleArn")}


def _queue(p):
    yield "sqs", "CreateQueue", {"QueueName": p.resource.name} | p.take(QueueName="QueueName") | {
        "tags": tags_as_map(p), "Attributes": attributes(
            p, "ContentBasedDeduplication", "DelaySeconds", "FifoQueue", "KmsDataKeyReusePeriodSeconds",
            "KmsMasterKeyId", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds",
            "RedriveAllowPolicy", "RedrivePolicy", "SqsManagedSseEnabled", "VisibilityTimeout")}


def _queue_policy(p):
    for queue in p.get("Queues"):
        yield "sqs", "SetQueueAttributes", {"QueueUrl": queue, "Attributes": {
            "Policy": document(p.get("PolicyDocument"))}}


def _pipe(p):
    yield "pipes", "CreatePipe", {"Name": p.resource.name} | p.take(
        "Description", "DesiredState", "Enrichment", "EnrichmentParameters", "KmsKeyIdentifier", "LogConfiguration",
        "Name", "RoleArn", "Source", "SourceParameters", "Tags", "Target", "TargetParameters")


def _schedule(p):
    yield "scheduler", "CreateSchedule", {"Name": p.resource.name} | p.take(
        "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "Name", "ScheduleExpression",
        "ScheduleExpressionTimezone", "StartDate", "State", "Target")


def _secret(p):
    generate = p.get("GenerateSecretString")
    if generate:
        # The other two only say where in the secret the password stands.
        yield "secretsmanager", "GetRandomPassword", {k: v for k, v in generate.items() if k not in (
            "GenerateStringKey", "SecretStringTemplate")}
    yield "secretsmanager", "CreateSecret", {"Name": p.resource.name} | p.take(
        "Description", "KmsKeyId", "Name", "SecretString", "Tags", AddReplicaRegions="ReplicaRegions")


def _secret_policy(p):
    yield "secretsmanager", "PutResourcePolicy", {"ResourcePolicy": document(p.get("ResourcePolicy"))} | p.take(
        "BlockPublicPolicy", "SecretId")


#: The calls of each resource type. A type that is not here is red.
CALLS = {
    "AWS::CloudFormation::Stack": _stack,
    "AWS::Athena::NamedQuery": _named_query,
    "AWS::Athena::WorkGroup": _work_group,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _composite_alarm,
    "AWS::CloudWatch::Dashboard": _dashboard,
    "AWS::DynamoDB::Table": _table,
    "AWS::EC2::FlowLog": _flow_log,
    "AWS::EC2::RouteTable": lambda p: [("ec2", "CreateRouteTable", p.take("VpcId") | tagged(p, "route-table"))],
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::SecurityGroupEgress": _security_group_rule("AuthorizeSecurityGroupEgress"),
    "AWS::EC2::SecurityGroupIngress": _security_group_rule("AuthorizeSecurityGroupIngress"),
    "AWS::EC2::Subnet": _subnet,
    "AWS::EC2::SubnetRouteTableAssociation": lambda p: [
        ("ec2", "AssociateRouteTable", p.take("RouteTableId", "SubnetId"))],
    "AWS::EC2::VPC": _vpc,
    "AWS::EC2::VPCEndpoint": _vpc_endpoint,
    "AWS::Events::EventBus": _event_bus,
    "AWS::Events::EventBusPolicy": _event_bus_policy,
    "AWS::Events::Rule": _rule,
    "AWS::Glue::Database": _glue_database,
    "AWS::Glue::Table": _glue_table,
    "AWS::IAM::ManagedPolicy": _managed_policy,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Alias": _alias,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::EventInvokeConfig": _invoke_config,
    "AWS::Lambda::Function": _function,
    "AWS::Lambda::Permission": _permission,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::Logs::QueryDefinition": _query_definition,
    "AWS::Logs::MetricFilter": _metric_filter,
    "AWS::Pipes::Pipe": _pipe,
    "AWS::RDS::DBSubnetGroup": _db_subnet_group,
    "AWS::Route53Resolver::FirewallDomainList": _domain_list,
    "AWS::Route53Resolver::FirewallRuleGroup": _rule_group,
    "AWS::Route53Resolver::FirewallRuleGroupAssociation": _rule_group_association,
    "AWS::S3::Bucket": _bucket,
    "AWS::S3::BucketPolicy": _bucket_policy,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::Topic": _topic,
    "AWS::SNS::TopicPolicy": _topic_policy,
    "AWS::SQS::Queue": _queue,
    "AWS::SQS::QueuePolicy": _queue_policy,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::SecretsManager::ResourcePolicy": _secret_policy,
    "AWS::SecretsManager::Secret": _secret,
}
