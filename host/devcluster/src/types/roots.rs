//! Which Rust type describes which built-in kind.

use std::borrow::Cow;

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, autoscaling, batch::v1 as batch, certificates::v1 as certificates,
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery, events::v1 as events,
    flowcontrol::v1 as flowcontrol, networking::v1 as networking, node::v1 as node, policy::v1 as policy,
    rbac::v1 as rbac, resource::v1 as resource, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as registration;
use k8s_openapi::schemars::{JsonSchema, Schema, SchemaGenerator};

/// A kind and how its schema is made.
pub(super) struct Root {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    /// The name of the kind's definition.
    pub(super) name: fn() -> Cow<'static, str>,
    /// Adds the definitions of the kind and of all that it refers to; answers with a reference to the kind's.
    pub(super) define: fn(&mut SchemaGenerator) -> Schema,
}

const fn root<T: Resource + JsonSchema>() -> Root {
    Root {
        group: T::GROUP,
        version: T::VERSION,
        kind: T::KIND,
        name: T::schema_name,
        define: |generator| generator.subschema_for::<T>(),
    }
}

pub(super) const ROOTS: &[Root] = &[
    root::<core::ConfigMap>(),
    root::<core::Endpoints>(),
    root::<core::Event>(),
    root::<core::LimitRange>(),
    root::<core::Namespace>(),
    root::<core::Node>(),
    root::<core::PersistentVolume>(),
    root::<core::PersistentVolumeClaim>(),
    root::<core::Pod>(),
    root::<core::PodTemplate>(),
    root::<core::ReplicationController>(),
    root::<core::ResourceQuota>(),
    root::<core::Secret>(),
    root::<core::Service>(),
    root::<core::ServiceAccount>(),
    root::<registration::APIService>(),
    root::<apps::ControllerRevision>(),
    root::<apps::DaemonSet>(),
    root::<apps::Deployment>(),
    root::<apps::ReplicaSet>(),
    root::<apps::StatefulSet>(),
    root::<events::Event>(),
    root::<authentication::SelfSubjectReview>(),
    root::<authentication::TokenRequest>(),
    root::<authentication::TokenReview>(),
    root::<authorization::LocalSubjectAccessReview>(),
    root::<authorization::SelfSubjectAccessReview>(),
    root::<authorization::SelfSubjectRulesReview>(),
    root::<authorization::SubjectAccessReview>(),
    root::<autoscaling::v1::HorizontalPodAutoscaler>(),
    root::<autoscaling::v2::HorizontalPodAutoscaler>(),
    root::<batch::CronJob>(),
    root::<batch::Job>(),
    root::<certificates::CertificateSigningRequest>(),
    root::<networking::IPAddress>(),
    root::<networking::Ingress>(),
    root::<networking::IngressClass>(),
    root::<networking::NetworkPolicy>(),
    root::<networking::ServiceCIDR>(),
    root::<policy::PodDisruptionBudget>(),
    root::<rbac::ClusterRole>(),
    root::<rbac::ClusterRoleBinding>(),
    root::<rbac::Role>(),
    root::<rbac::RoleBinding>(),
    root::<storage::CSIDriver>(),
    root::<storage::CSINode>(),
    root::<storage::CSIStorageCapacity>(),
    root::<storage::StorageClass>(),
    root::<storage::VolumeAttachment>(),
    root::<storage::VolumeAttributesClass>(),
    root::<admission::MutatingWebhookConfiguration>(),
    root::<admission::ValidatingAdmissionPolicy>(),
    root::<admission::ValidatingAdmissionPolicyBinding>(),
    root::<admission::ValidatingWebhookConfiguration>(),
    root::<extensions::CustomResourceDefinition>(),
    root::<scheduling::PriorityClass>(),
    root::<coordination::Lease>(),
    root::<node::RuntimeClass>(),
    root::<discovery::EndpointSlice>(),
    root::<flowcontrol::FlowSchema>(),
    root::<flowcontrol::PriorityLevelConfiguration>(),
    root::<resource::DeviceClass>(),
    root::<resource::ResourceClaim>(),
    root::<resource::ResourceClaimTemplate>(),
    root::<resource::ResourceSlice>(),
];
