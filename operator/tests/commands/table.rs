//! The table: what each command does in each situation.

use crate::fake_cluster::UNKNOWN_KIND;
use crate::world::{Ends, KEY, LEASE, World, quarantine};

/// What may go wrong around a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Situation {
    /// Whoever reads what it says goes away.
    OutputClosed,
    /// So does whoever reads what went wrong.
    BothClosed,
    /// What it says goes to a full disk.
    DiskFull,
    /// Whoever runs it has no rights.
    NothingAllowed,
    /// Whoever runs it may read, and not write.
    NothingWritable,
    /// The cluster does not know our kinds.
    KindsUnknown,
    /// There is no such release.
    ReleaseMissing,
    /// There is no such Application of Argo CD.
    ApplicationMissing,
    /// There is no such namespace.
    NamespaceMissing,
    /// There is no such key.
    KeyMissing,
    /// There is no such policy.
    PolicyMissing,
    /// Of two things, one is refused.
    PartlyRefused,
    /// Nobody renews the Lease any more.
    LeaseOld,
    /// There is no Lease, and nobody answers.
    LeaseMissing,
}

pub(crate) const ALL: [Situation; 14] = [
    Situation::OutputClosed,
    Situation::BothClosed,
    Situation::DiskFull,
    Situation::NothingAllowed,
    Situation::NothingWritable,
    Situation::KindsUnknown,
    Situation::ReleaseMissing,
    Situation::ApplicationMissing,
    Situation::NamespaceMissing,
    Situation::KeyMissing,
    Situation::PolicyMissing,
    Situation::PartlyRefused,
    Situation::LeaseOld,
    Situation::LeaseMissing,
];

/// What a command does in a situation.
pub(crate) enum Cell {
    /// It asks no cluster, so that nothing of one matters; it ends with 0.
    AsksNobody(Vec<String>),
    /// The situation cannot be; why.
    DoesNotApply(&'static str),
    /// It ends.
    Ends(Run),
    /// It goes on until it is told to stop, and then ends with 0.
    Serves(Vec<String>),
}

/// A run that ends.
pub(crate) struct Run {
    pub(crate) arguments: Vec<String>,
    /// What else there is before.
    pub(crate) prepared: fn(&World),
    pub(crate) code: i32,
    /// What it says on standard error.
    pub(crate) errors: &'static [&'static str],
    /// What is true of the cluster afterwards.
    pub(crate) then: fn(&World) -> bool,
}

const TRUSTED: i32 = 0;
const NOT_ALL: i32 = 1;
const USAGE: i32 = 2;
const UNKNOWN: i32 = 3;
const FAILED: i32 = 4;
const FORBIDDEN: (u16, &str) = (403, "Forbidden");

const RIGHTS: &[&str] = &["Forbidden; ask for the role charttrust-view, or for charttrust-admin"];
const VIEW: &[&str] = &["Forbidden; ask for the role view in namespace charttrust-system"];
const KINDS: &[&str] = &[
    "the cluster does not know this kind",
    "crds | kubectl apply",
];
const LOST: &[&str] = &["failed to print the result", "No space left"];
const LEADERLESS: &[&str] = &["no operator has led since 2026-01-02T03:04:05Z"];
const NO_LEASE: &[&str] = &["not checked whether", "there is no Lease charttrust"];

impl Situation {
    /// Who listens.
    pub(crate) fn ends(self) -> Ends {
        match self {
            Self::OutputClosed => Ends::OutputClosed,
            Self::BothClosed => Ends::BothClosed,
            Self::DiskFull => Ends::DiskFull,
            _ => Ends::Open,
        }
    }

    /// Makes the cluster so.
    pub(crate) fn arrange(self, world: &World) {
        let cluster = &world.cluster;
        match self {
            Self::NothingAllowed => {
                for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                    cluster.refuse(verb, "/", FORBIDDEN);
                }
            }
            Self::NothingWritable => {
                for verb in ["POST", "PUT", "PATCH", "DELETE"] {
                    cluster.refuse(verb, "/", FORBIDDEN);
                }
            }
            Self::KindsUnknown => {
                for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                    cluster.refuse(verb, "/apis/charttrust.io/", UNKNOWN_KIND);
                }
            }
            Self::LeaseOld => world.lease("charttrust-0", "2026-01-02T03:04:05.000000Z"),
            Self::LeaseMissing => cluster.remove(LEASE),
            Self::OutputClosed
            | Self::BothClosed
            | Self::DiskFull
            | Self::ReleaseMissing
            | Self::ApplicationMissing
            | Self::NamespaceMissing
            | Self::KeyMissing
            | Self::PolicyMissing
            | Self::PartlyRefused => {}
        }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn ends(arguments: &str, code: i32, errors: &'static [&'static str]) -> Run {
    Run {
        arguments: words(arguments),
        prepared: |_| (),
        code,
        errors,
        then: |_| true,
    }
}

impl Run {
    fn prepared(self, prepared: fn(&World)) -> Self {
        Self { prepared, ..self }
    }

    fn then(self, then: fn(&World) -> bool) -> Cell {
        Cell::Ends(Self { then, ..self })
    }
}

impl From<Run> for Cell {
    fn from(run: Run) -> Self {
        Self::Ends(run)
    }
}

/// The row of a command; `None` if it has none.
pub(crate) fn cell(command: &str, situation: Situation) -> Option<Cell> {
    Some(match command {
        "before-uninstall" => before_uninstall(situation),
        "completion" => local("completion bash", situation),
        "crds" => local("crds", situation),
        "doctor" => doctor(situation),
        "explain" => local("explain Unsigned", situation),
        "key export" => key_export(situation),
        "key import" => key_import(situation),
        "key rotate" => key_rotate(situation),
        "key show" => key_show(situation),
        "key status" => key_status(situation),
        "pin" => pin(situation),
        "policy init" => policy_init(situation),
        "policy preview" => policy_preview(situation),
        "policy test" => policy_test(situation),
        "quarantine" => contain(situation),
        "report csv" => report("csv", situation),
        "report html" => report("html", situation),
        "report json" => report("json", situation),
        "report key" => report_key(situation),
        "report vsa" => report_vsa(situation),
        "restore" => restore(situation),
        "revoke" => revoke(situation),
        "run" => serving(RUN, situation),
        "sign" => sign(situation),
        "status" => status(situation),
        "verify" => verify(situation),
        "version" => local("version", situation),
        "webhook" => serving(WEBHOOK, situation),
        "why" => why(situation),
        _ => return None,
    })
}

/// A command that needs nothing but the program.
fn local(arguments: &str, situation: Situation) -> Cell {
    match situation {
        Situation::DiskFull => ends(arguments, FAILED, &["No space left"]).into(),
        _ => Cell::AsksNobody(words(arguments)),
    }
}

/// What every command does that only reads the cluster: the arguments are those of one that succeeds.
fn reads(arguments: &str, situation: Situation) -> Run {
    match situation {
        Situation::DiskFull => ends(arguments, FAILED, LOST),
        Situation::NothingAllowed => ends(arguments, UNKNOWN, RIGHTS),
        Situation::KindsUnknown => ends(arguments, UNKNOWN, KINDS),
        Situation::LeaseOld => ends(arguments, UNKNOWN, LEADERLESS),
        Situation::LeaseMissing => ends(arguments, TRUSTED, NO_LEASE),
        _ => ends(arguments, TRUSTED, &[]),
    }
}

/// Without the keys it tells the rest, and that.
fn tells_without_keys(arguments: &str) -> Run {
    let note = &[
        "not checked whether keys and policies were read",
        "Forbidden",
    ];
    ends(arguments, TRUSTED, note)
        .prepared(|world| world.cluster.refuse("GET", "/trustedkeys", FORBIDDEN))
}

fn status(situation: Situation) -> Cell {
    match situation {
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingWritable
        | Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => reads("status", situation),
        Situation::ReleaseMissing => ends(
            "status shop/typo",
            USAGE,
            &[
                "there is no ReleaseTrust typo in namespace shop",
                "helm list",
            ],
        ),
        Situation::ApplicationMissing => ends(
            "status argocd/argocd.typo",
            USAGE,
            &["there is no ReleaseTrust argocd.typo in namespace argocd"],
        ),
        Situation::NamespaceMissing => {
            ends("status -n typo", USAGE, &["there is no namespace typo"])
        }
        Situation::KeyMissing => ends(
            "status --key typo",
            USAGE,
            &["there is no TrustedKey typo: kubectl get tkey lists them"],
        ),
        Situation::PolicyMissing => return Cell::DoesNotApply("it names no policy"),
        Situation::PartlyRefused => tells_without_keys("status"),
    }
    .into()
}

/// In every form: what may not be read is missing in it, which is told, and is never green.
fn report(form: &str, situation: Situation) -> Cell {
    let line = |more: &str| format!("report {form}{more}");
    match situation {
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingWritable
        | Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => reads(&line(""), situation),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            return Cell::DoesNotApply("it names no release");
        }
        Situation::NamespaceMissing => {
            ends(&line(" -n typo"), USAGE, &["there is no namespace typo"])
        }
        Situation::KeyMissing | Situation::PolicyMissing => {
            return Cell::DoesNotApply("it names no key and no policy");
        }
        Situation::PartlyRefused => ends(
            &line(""),
            UNKNOWN,
            &["the report lacks TrustedKeys", "Forbidden"],
        )
        .prepared(|world| world.cluster.refuse("GET", "/trustedkeys", FORBIDDEN)),
    }
    .into()
}

/// What others check is not of the kinds of charttrust.
fn report_key(situation: Situation) -> Cell {
    let run = match situation {
        Situation::DiskFull => ends("report key", FAILED, LOST),
        Situation::NothingAllowed => ends("report key", UNKNOWN, VIEW),
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingWritable
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => ends("report key", TRUSTED, &[]),
        Situation::ReleaseMissing
        | Situation::ApplicationMissing
        | Situation::PolicyMissing
        | Situation::PartlyRefused => {
            return Cell::DoesNotApply("it prints one key, and asks for nothing else");
        }
        Situation::NamespaceMissing => ends(
            "report key --operator-namespace typo",
            USAGE,
            &[
                "there is no ConfigMap charttrust-vsa in namespace typo",
                "vsa.enabled=true",
            ],
        ),
        Situation::KeyMissing => {
            let errors = &["has no public key in key.pem: delete it"];
            return ends("report key", USAGE, errors)
                .prepared(|world| world.stated_by("no key"))
                .into();
        }
    };
    run.prepared(World::stated).into()
}

/// Only what carries the signature is printed, and what is missing is told and never green.
fn report_vsa(situation: Situation) -> Cell {
    match situation {
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingWritable
        | Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => reads("report vsa", situation),
        Situation::ReleaseMissing | Situation::ApplicationMissing | Situation::PolicyMissing => {
            return Cell::DoesNotApply("it names no release and no policy");
        }
        Situation::NamespaceMissing => {
            ends("report vsa -n typo", USAGE, &["there is no namespace typo"])
        }
        Situation::KeyMissing => {
            let errors = &["there is no ConfigMap charttrust-vsa", "vsa.enabled=true"];
            return ends("report vsa", USAGE, errors).into();
        }
        Situation::PartlyRefused => {
            return ends("report vsa", UNKNOWN, VIEW)
                .prepared(|world| world.cluster.refuse("GET", "/configmaps", FORBIDDEN))
                .into();
        }
    }
    .prepared(World::stated)
    .into()
}

fn pin(situation: Situation) -> Cell {
    match situation {
        Situation::OutputClosed | Situation::BothClosed | Situation::NothingWritable => {
            ends("pin shop/web", TRUSTED, &["1 of 1 releases are pinned"])
        }
        Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => reads("pin", situation),
        Situation::ReleaseMissing => {
            ends("pin shop/web shop/typo", USAGE, &["no ReleaseTrust typo"])
        }
        Situation::ApplicationMissing => ends(
            "pin shop/web argocd/argocd.typo",
            USAGE,
            &["no ReleaseTrust argocd.typo"],
        ),
        Situation::NamespaceMissing => ends("pin -n typo", USAGE, &["there is no namespace typo"]),
        Situation::KeyMissing => return Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => ends(
            "pin --policy typo",
            USAGE,
            &["there is no ChartTrustPolicy typo: kubectl get ctp lists them"],
        ),
        // Nothing is pinned by somebody who cannot see which keys are revoked.
        Situation::PartlyRefused => ends("pin", UNKNOWN, RIGHTS)
            .prepared(|world| world.cluster.refuse("GET", "/trustedkeys", FORBIDDEN)),
    }
    .into()
}

/// Each of these runs on an installation without a fault.
fn doctor(situation: Situation) -> Cell {
    let run = |code, errors: &'static [&'static str]| {
        ends("doctor", code, errors).prepared(World::installed)
    };
    match situation {
        Situation::OutputClosed | Situation::BothClosed => {
            run(TRUSTED, &[]).then(|world| writes(world) == 0)
        }
        Situation::DiskFull => run(FAILED, LOST).into(),
        // Questions about rights are posted.
        Situation::NothingWritable => run(UNKNOWN, &[]).then(|world| writes(world) == 0),
        // What may not be read is told line by line, and is never green.
        Situation::NothingAllowed => run(UNKNOWN, &[]).into(),
        Situation::KindsUnknown => ends("doctor", UNKNOWN, &[])
            .prepared(World::installed)
            .into(),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => ends("doctor --operator-namespace typo", UNKNOWN, &[])
            .prepared(World::installed)
            .into(),
        Situation::KeyMissing | Situation::PolicyMissing => {
            Cell::DoesNotApply("it names no key and no policy")
        }
        Situation::PartlyRefused => run(UNKNOWN, &[])
            .prepared(|world| {
                world.installed();
                world.cluster.refuse("GET", "/trustedkeys", FORBIDDEN);
            })
            .into(),
        Situation::LeaseOld => run(NOT_ALL, &[])
            .prepared(|world| {
                world.installed();
                world.lease("charttrust-0", "2026-01-02T03:04:05.000000Z");
            })
            .into(),
        Situation::LeaseMissing => run(NOT_ALL, &[])
            .prepared(|world| {
                world.installed();
                world.cluster.remove(LEASE);
            })
            .into(),
    }
}

fn key_import(situation: Situation) -> Cell {
    const IMPORT: &str =
        "key import key.gpg --fingerprint 5E615389B53CA37F0EE60BD3843BBF981FC18762";
    match situation {
        Situation::DiskFull => ends(IMPORT, FAILED, &["No space left"])
            .prepared(World::lay_chart)
            .into(),
        Situation::KeyMissing => ends(
            "key import typo.asc --fingerprint 5E615389B53CA37F0EE60BD3843BBF981FC18762",
            USAGE,
            &["typo.asc", "No such file"],
        )
        .into(),
        Situation::PartlyRefused => ends(
            "key import key.gpg --fingerprint 0000000000000000000000000000000000000000",
            USAGE,
            &["none of the keys has the primary fingerprint"],
        )
        .prepared(World::lay_chart)
        .into(),
        _ => file_command(IMPORT, situation),
    }
}

fn key_show(situation: Situation) -> Cell {
    const SHOW: &str = "key show key.gpg";
    match situation {
        Situation::KeyMissing => {
            ends("key show typo.asc", USAGE, &["typo.asc", "No such file"]).into()
        }
        Situation::PartlyRefused => Cell::DoesNotApply("it reads one file"),
        _ => file_command(SHOW, situation),
    }
}

fn sign(situation: Situation) -> Cell {
    const SIGN: &str = "sign hashtest-1.2.3.tgz --key 5E615389B53CA37F0EE60BD3843BBF981FC18762 \
                        --gpg ./gpg --force";
    let signed = |code, errors| {
        ends(SIGN, code, errors)
            .prepared(World::lay_gpg)
            .then(|world| world.cluster.requests() == 0 && world.is_signed())
    };
    match situation {
        // What is signed is signed, whoever reads of it.
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::NothingWritable
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => signed(TRUSTED, &[]),
        Situation::ReleaseMissing => ends(
            "sign typo-1.0.0.tgz --key 5E615389B53CA37F0EE60BD3843BBF981FC18762 --gpg ./gpg",
            USAGE,
            &["typo-1.0.0.tgz", "No such file"],
        )
        .prepared(World::lay_gpg)
        .into(),
        Situation::KeyMissing => ends(
            "sign hashtest-1.2.3.tgz --key 0000000000000000000000000000000000000000 --gpg ./gpg --force",
            USAGE,
            &["./gpg has no key 0000", "gpg --list-secret-keys"],
        )
        .prepared(World::lay_gpg)
        .into(),
        Situation::PartlyRefused => ends(
            "sign hashtest-1.2.3.tgz typo-1.0.0.tgz --key 5E615389B53CA37F0EE60BD3843BBF981FC18762 \
             --gpg ./gpg --force",
            USAGE,
            &["typo-1.0.0.tgz", "No such file"],
        )
        .prepared(World::lay_gpg)
        .then(|world| !world.is_signed()),
        Situation::ApplicationMissing
        | Situation::NamespaceMissing
        | Situation::PolicyMissing => Cell::DoesNotApply("it asks no cluster"),
    }
}

/// A command that reads the files of the folder and asks nobody.
fn file_command(arguments: &'static str, situation: Situation) -> Cell {
    let run = |code, errors| ends(arguments, code, errors).prepared(World::lay_chart);
    match situation {
        Situation::DiskFull => run(FAILED, &["No space left"]).into(),
        Situation::ReleaseMissing
        | Situation::ApplicationMissing
        | Situation::NamespaceMissing
        | Situation::KeyMissing
        | Situation::PolicyMissing
        | Situation::PartlyRefused => Cell::DoesNotApply("it asks no cluster"),
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingAllowed
        | Situation::NothingWritable
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => run(TRUSTED, &[]).then(|world| world.cluster.requests() == 0),
    }
}

fn key_status(situation: Situation) -> Cell {
    const STATUS: &str = "key status platform";
    match situation {
        Situation::OutputClosed | Situation::BothClosed | Situation::NothingWritable => {
            ends(STATUS, TRUSTED, &[]).into()
        }
        Situation::DiskFull => ends(STATUS, FAILED, LOST).into(),
        Situation::NothingAllowed => ends(STATUS, UNKNOWN, RIGHTS).into(),
        Situation::KindsUnknown => ends(STATUS, UNKNOWN, KINDS).into(),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => Cell::DoesNotApply("keys have no namespace"),
        Situation::KeyMissing => ends(
            "key status typo",
            USAGE,
            &["there is no TrustedKey typo: kubectl get tkey lists them"],
        )
        .into(),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        Situation::PartlyRefused => ends(STATUS, UNKNOWN, RIGHTS)
            .prepared(|world| world.cluster.refuse("GET", "/releasetrusts", FORBIDDEN))
            .into(),
        Situation::LeaseOld => ends(STATUS, UNKNOWN, LEADERLESS).into(),
        Situation::LeaseMissing => ends(STATUS, TRUSTED, NO_LEASE).into(),
    }
}

fn key_rotate(situation: Situation) -> Cell {
    const ROTATE: &str = "key rotate platform --to next";
    let run = |code, errors| ends(ROTATE, code, errors).prepared(World::next_key);
    match situation {
        Situation::OutputClosed | Situation::BothClosed | Situation::NothingWritable => run(
            NOT_ALL,
            &["policy/all lists platform and not next: list it"],
        )
        .then(|world| writes(world) == 0),
        Situation::DiskFull => run(FAILED, LOST).into(),
        Situation::NothingAllowed => run(UNKNOWN, RIGHTS).into(),
        Situation::KindsUnknown => run(UNKNOWN, KINDS).into(),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => Cell::DoesNotApply("keys have no namespace"),
        Situation::KeyMissing => ends(
            "key rotate platform --to typo",
            USAGE,
            &["there is no TrustedKey typo: kubectl get tkey lists them"],
        )
        .into(),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        // Nobody is told that nothing is left to do by somebody who cannot see it.
        Situation::PartlyRefused => run(UNKNOWN, RIGHTS)
            .prepared(|world| {
                world.next_key();
                world
                    .cluster
                    .refuse("GET", "/charttrustpolicies", FORBIDDEN);
            })
            .into(),
        Situation::LeaseOld => run(NOT_ALL, LEADERLESS).into(),
        Situation::LeaseMissing => run(NOT_ALL, NO_LEASE).into(),
    }
}

fn key_export(situation: Situation) -> Cell {
    const EXPORT: &str = "key export --helm";
    match situation {
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingWritable
        | Situation::LeaseOld
        | Situation::LeaseMissing => ends("key export --helm -f key.yaml", TRUSTED, &[])
            .prepared(World::lay_chart)
            .then(|world| world.cluster.requests() == 0),
        Situation::DiskFull => ends("key export --helm -f key.yaml", FAILED, LOST)
            .prepared(World::lay_chart)
            .into(),
        Situation::NothingAllowed => ends(EXPORT, UNKNOWN, RIGHTS).into(),
        Situation::KindsUnknown => ends(EXPORT, UNKNOWN, KINDS).into(),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => Cell::DoesNotApply("keys have no namespace"),
        Situation::KeyMissing => ends(
            "key export --helm typo",
            USAGE,
            &["there is no TrustedKey typo"],
        )
        .into(),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        // What cannot be had is named, and the others are printed.
        Situation::PartlyRefused => ends(
            EXPORT,
            NOT_ALL,
            &["TrustedKey hidden is left out: ", "Forbidden"],
        )
        .prepared(|world| {
            world.hide_key();
            world.cluster.refuse("GET", "/configmaps", FORBIDDEN);
        })
        .into(),
    }
}

fn policy_init(situation: Situation) -> Cell {
    const INIT: &str = "policy init";
    match situation {
        Situation::OutputClosed | Situation::BothClosed | Situation::NothingWritable => {
            ends(INIT, TRUSTED, &[]).then(|world| writes(world) == 0)
        }
        Situation::DiskFull => ends(INIT, FAILED, LOST).into(),
        Situation::NothingAllowed => ends(INIT, UNKNOWN, RIGHTS).into(),
        Situation::KindsUnknown => ends(INIT, UNKNOWN, KINDS).into(),
        Situation::ReleaseMissing => ends(INIT, UNKNOWN, &["no release is known: helm list -A"])
            .prepared(|world| {
                for (namespace, name) in [("shop", "web"), ("bank", "ledger")] {
                    let kind = "/apis/charttrust.io/v1alpha1/namespaces";
                    let path = format!("{kind}/{namespace}/releasetrusts/{name}");
                    world.cluster.remove(&path);
                }
            })
            .into(),
        Situation::ApplicationMissing => Cell::DoesNotApply("it names no Application"),
        Situation::NamespaceMissing => ends(
            "policy init -n typo",
            USAGE,
            &["there is no namespace typo"],
        )
        .into(),
        Situation::KeyMissing => Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => Cell::DoesNotApply("it makes one"),
        // Nobody is listed, and nothing pinned, by somebody who cannot see which keys are revoked.
        Situation::PartlyRefused => ends(INIT, UNKNOWN, RIGHTS)
            .prepared(|world| world.cluster.refuse("GET", "/trustedkeys", FORBIDDEN))
            .into(),
        Situation::LeaseOld => ends(INIT, UNKNOWN, LEADERLESS).into(),
        Situation::LeaseMissing => ends(INIT, TRUSTED, NO_LEASE).into(),
    }
}

fn policy_preview(situation: Situation) -> Cell {
    const PREVIEW: &str = "policy preview -f policy.yaml";
    let run = |code, errors| ends(PREVIEW, code, errors).prepared(World::lay_policy);
    match situation {
        Situation::OutputClosed | Situation::BothClosed | Situation::NothingWritable => {
            run(TRUSTED, &[]).then(|world| writes(world) == 0)
        }
        Situation::DiskFull => run(FAILED, LOST).into(),
        Situation::NothingAllowed => run(UNKNOWN, RIGHTS).into(),
        Situation::KindsUnknown => run(UNKNOWN, KINDS).into(),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => Cell::DoesNotApply("policies have no namespace"),
        Situation::KeyMissing => Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => ends(
            "policy preview typo",
            USAGE,
            &["there is no ChartTrustPolicy typo: kubectl get ctp lists them"],
        )
        .into(),
        Situation::PartlyRefused => run(UNKNOWN, RIGHTS)
            .prepared(|world| {
                world.lay_policy();
                world.cluster.refuse("GET", "/releasetrusts", FORBIDDEN);
            })
            .into(),
        Situation::LeaseOld => run(UNKNOWN, LEADERLESS).into(),
        Situation::LeaseMissing => run(TRUSTED, NO_LEASE).into(),
    }
}

fn why(situation: Situation) -> Cell {
    match situation {
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingWritable
        | Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => reads("why shop/web", situation),
        Situation::ReleaseMissing => ends("why shop/typo", USAGE, &["no ReleaseTrust typo"]),
        Situation::ApplicationMissing => ends(
            "why argocd/argocd.typo",
            USAGE,
            &["no ReleaseTrust argocd.typo"],
        ),
        Situation::NamespaceMissing => ends("why web -n typo", USAGE, &["namespace typo"]),
        Situation::KeyMissing => return Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => return Cell::DoesNotApply("it names no policy"),
        Situation::PartlyRefused => tells_without_keys("why shop/web"),
    }
    .into()
}

const REVOKE: &str = "revoke platform --reason Compromised --yes --timeout 0s";

fn is_revoked(world: &World) -> bool {
    let key = world.cluster.find(KEY).unwrap();
    key["spec"]["revocation"]["reason"] == "Compromised"
}

fn revoke(situation: Situation) -> Cell {
    let revoked = |code, errors| ends(REVOKE, code, errors).then(is_revoked);
    let untouched = |arguments, code, errors| {
        ends(arguments, code, errors).then(|world| !is_revoked(world) && writes(world) == 0)
    };
    match situation {
        // Nobody judges anew here, which is said.
        Situation::OutputClosed | Situation::BothClosed => revoked(
            UNKNOWN,
            &[
                "2 releases are not judged as shown after 0 s",
                "one leads: see its log",
            ],
        ),
        // What is to be read before it is done could not be shown.
        Situation::DiskFull => untouched(REVOKE, FAILED, LOST),
        Situation::NothingAllowed => untouched(REVOKE, UNKNOWN, RIGHTS),
        Situation::NothingWritable => ends(
            REVOKE,
            UNKNOWN,
            &["failed to write spec.revocation: Forbidden; ask for the role"],
        )
        .then(|world| !is_revoked(world)),
        Situation::KindsUnknown => untouched(REVOKE, UNKNOWN, KINDS),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => Cell::DoesNotApply("keys have no namespace"),
        Situation::KeyMissing => untouched(
            "revoke typo --reason Compromised --yes",
            USAGE,
            &["there is no TrustedKey typo: kubectl get tkey lists them"],
        ),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        // What may not be seen is not foretold, and nothing is done behind anybody's back.
        Situation::PartlyRefused => ends(REVOKE, UNKNOWN, RIGHTS)
            .prepared(|world| world.cluster.refuse("GET", "/releasetrusts", FORBIDDEN))
            .then(|world| !is_revoked(world)),
        Situation::LeaseOld => revoked(UNKNOWN, LEADERLESS),
        Situation::LeaseMissing => revoked(UNKNOWN, NO_LEASE),
    }
}

fn writes(world: &World) -> usize {
    world.cluster.writes().len()
}

const CONTAIN: &str = "quarantine shop/web --reason test --yes --timeout 0s";
const CONTAIN_ALL: &str = "quarantine --key platform --reason test --yes --timeout 0s";

fn is_asked_for(world: &World, namespace: &str, name: &str) -> bool {
    world.cluster.find(&quarantine(namespace, name)).is_some()
}

fn both_asked_for(world: &World) -> bool {
    is_asked_for(world, "shop", "web") && is_asked_for(world, "bank", "ledger")
}

const SILENT: &[&str] = &[
    "has said nothing about Quarantine bank/ledger, shop/web in 0 s",
    "one leads: see its log",
];

fn contain(situation: Situation) -> Cell {
    let created = |code, errors| ends(CONTAIN_ALL, code, errors).then(both_asked_for);
    let none =
        |arguments, code, errors| ends(arguments, code, errors).then(|world| writes(world) == 0);
    match situation {
        Situation::OutputClosed | Situation::BothClosed => created(UNKNOWN, SILENT),
        // What would be changed could not be shown.
        Situation::DiskFull => none(CONTAIN, FAILED, LOST),
        Situation::NothingAllowed => none(
            CONTAIN,
            UNKNOWN,
            &[
                "failed to list the release records: Forbidden; what would be changed is read from",
                "which -o yaml prints",
            ],
        ),
        Situation::NothingWritable => ends(
            CONTAIN,
            UNKNOWN,
            &["failed to create a Quarantine: Forbidden; ask for the role"],
        )
        .then(|world| !is_asked_for(world, "shop", "web")),
        Situation::KindsUnknown => none(CONTAIN, UNKNOWN, KINDS),
        Situation::ReleaseMissing => none(
            "quarantine shop/typo --reason test --yes",
            USAGE,
            &["no release typo is recorded", "helm list"],
        ),
        Situation::ApplicationMissing => none(
            "quarantine argocd.typo -n argocd --reason test --yes",
            USAGE,
            &["no release argocd.typo is recorded in namespace argocd"],
        ),
        Situation::NamespaceMissing => none(
            "quarantine web -n typo --reason test --yes",
            USAGE,
            &["no release web is recorded in namespace typo"],
        ),
        Situation::KeyMissing => none(
            "quarantine --key typo --reason test --yes",
            USAGE,
            &["there is no TrustedKey typo: kubectl get tkey lists them"],
        ),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        Situation::PartlyRefused => ends(
            CONTAIN_ALL,
            UNKNOWN,
            &[
                "bank/ledger: failed to create a Quarantine: Forbidden",
                "has said nothing about Quarantine shop/web",
            ],
        )
        .prepared(|world| {
            let refused = "/namespaces/bank/quarantines";
            world.cluster.refuse("POST", refused, FORBIDDEN);
        })
        .then(|world| is_asked_for(world, "shop", "web")),
        Situation::LeaseOld => created(UNKNOWN, LEADERLESS),
        Situation::LeaseMissing => created(UNKNOWN, NO_LEASE),
    }
}

fn both_contained(world: &World) {
    world.contained("shop", "web");
    world.contained("bank", "ledger");
}

fn is_back(world: &World, namespace: &str, name: &str) -> bool {
    world.replicas(namespace, name) == 3 && !is_asked_for(world, namespace, name)
}

fn both_back(world: &World) -> bool {
    is_back(world, "shop", "web") && is_back(world, "bank", "ledger")
}

fn restore(situation: Situation) -> Cell {
    const RESTORE: &str = "restore --all --yes";
    let restored = |code, errors| {
        ends(RESTORE, code, errors)
            .prepared(both_contained)
            .then(both_back)
    };
    match situation {
        // Whoever listens or leads, or not: what is contained is put back.
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::DiskFull
        | Situation::LeaseOld
        | Situation::LeaseMissing => restored(TRUSTED, &[]),
        Situation::NothingAllowed => ends(RESTORE, UNKNOWN, RIGHTS)
            .prepared(both_contained)
            .then(|world| writes(world) == 0),
        Situation::NothingWritable => ends(
            RESTORE,
            NOT_ALL,
            &[
                "bank/ledger: failed to delete a Quarantine: Forbidden",
                "shop/web: failed to delete a Quarantine: Forbidden",
            ],
        )
        .prepared(both_contained)
        .then(|world| world.replicas("shop", "web") == 0),
        // What the objects carry is enough.
        Situation::KindsUnknown => ends(RESTORE, TRUSTED, &["not looked for: Quarantine"])
            .prepared(both_contained)
            .then(|world| {
                world.replicas("shop", "web") == 3 && world.replicas("bank", "ledger") == 3
            }),
        Situation::ReleaseMissing => {
            ends("restore shop/typo", USAGE, &["no release typo is recorded"]).into()
        }
        Situation::ApplicationMissing => ends(
            "restore argocd/argocd.typo",
            USAGE,
            &["there is no Application typo in namespace argocd"],
        )
        .into(),
        Situation::NamespaceMissing => ends(
            "restore typo/web",
            USAGE,
            &["no release web is recorded in namespace typo"],
        )
        .into(),
        Situation::KeyMissing => Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        Situation::PartlyRefused => ends(RESTORE, NOT_ALL, &["ledger", "Forbidden"])
            .prepared(|world| {
                both_contained(world);
                let refused = "/namespaces/bank/deployments";
                world.cluster.refuse("PATCH", refused, FORBIDDEN);
            })
            .then(|world| is_back(world, "shop", "web") && world.replicas("bank", "ledger") == 0),
    }
}

fn before_uninstall(situation: Situation) -> Cell {
    const TELL: &str = "before-uninstall";
    const END: &str = "before-uninstall --restore";
    let contained = |code, errors| ends(TELL, code, errors).prepared(both_contained);
    match situation {
        Situation::OutputClosed | Situation::BothClosed | Situation::DiskFull => contained(
            NOT_ALL,
            &["contained releases: 2.", "charttrust restore --all"],
        )
        .into(),
        Situation::NothingAllowed => contained(FAILED, RIGHTS).into(),
        Situation::NothingWritable => ends(END, FAILED, RIGHTS)
            .prepared(both_contained)
            .then(both_asked_for),
        Situation::KindsUnknown => ends(TELL, TRUSTED, &[]).into(),
        Situation::ReleaseMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::NamespaceMissing => Cell::DoesNotApply("it names no namespace"),
        Situation::KeyMissing => Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => Cell::DoesNotApply("it names no policy"),
        // The other one is ended all the same.
        Situation::PartlyRefused => ends(END, FAILED, RIGHTS)
            .prepared(|world| {
                both_contained(world);
                let refused = "/namespaces/bank/quarantines";
                world.cluster.refuse("DELETE", refused, FORBIDDEN);
            })
            .then(|world| {
                let ended = world.cluster.find(&quarantine("shop", "web")).unwrap();
                ended["metadata"]["deletionTimestamp"].is_string()
            }),
        Situation::LeaseOld | Situation::LeaseMissing => {
            contained(NOT_ALL, &["contained releases: 2."]).into()
        }
    }
}

fn verify(situation: Situation) -> Cell {
    const VERIFY: &str = "verify hashtest-1.2.3.tgz --key key.gpg";
    let vectors = |world: &World| world.lay_chart();
    let good = || ends(VERIFY, TRUSTED, &[]).prepared(vectors).into();
    match situation {
        Situation::OutputClosed | Situation::BothClosed => good(),
        Situation::DiskFull => ends(VERIFY, FAILED, &["No space left"])
            .prepared(vectors)
            .into(),
        Situation::NothingAllowed
        | Situation::NothingWritable
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => ends(VERIFY, TRUSTED, &[])
            .prepared(vectors)
            .then(|world| world.cluster.requests() == 0),
        Situation::ReleaseMissing => ends(
            "verify typo-1.0.0.tgz --key key.gpg",
            USAGE,
            &["typo-1.0.0.tgz", "No such file"],
        )
        .prepared(vectors)
        .into(),
        Situation::NamespaceMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it asks no cluster")
        }
        Situation::KeyMissing => ends(
            "verify hashtest-1.2.3.tgz --key typo.asc",
            USAGE,
            &["typo.asc", "No such file"],
        )
        .prepared(vectors)
        .into(),
        Situation::PolicyMissing => ends(
            "verify hashtest-1.2.3.tgz --key key.yaml --policy typo.yaml",
            USAGE,
            &["typo.yaml", "No such file"],
        )
        .prepared(vectors)
        .into(),
        Situation::PartlyRefused => ends(
            "verify typo-1.0.0.tgz hashtest-1.2.3.tgz --key key.gpg",
            USAGE,
            &["typo-1.0.0.tgz", "No such file"],
        )
        .prepared(vectors)
        .into(),
    }
}

fn policy_test(situation: Situation) -> Cell {
    const TEST: &str = "policy test -f policy.yaml hashtest-1.2.3.tgz";
    let files = |world: &World| {
        world.lay_chart();
        world.lay_policy();
    };
    let run = |arguments, code, errors| ends(arguments, code, errors).prepared(files);
    match situation {
        Situation::DiskFull => run(TEST, FAILED, &["No space left"]).into(),
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::NothingAllowed
        | Situation::NothingWritable
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => {
            run(TEST, TRUSTED, &[]).then(|world| world.cluster.requests() == 0)
        }
        Situation::ReleaseMissing => run(
            "policy test -f policy.yaml typo-1.0.0.tgz",
            USAGE,
            &["typo-1.0.0.tgz", "No such file"],
        )
        .into(),
        Situation::NamespaceMissing | Situation::ApplicationMissing => {
            Cell::DoesNotApply("it asks no cluster")
        }
        Situation::KeyMissing => Cell::DoesNotApply("it names no key"),
        Situation::PolicyMissing => run(
            "policy test -f typo.yaml hashtest-1.2.3.tgz",
            USAGE,
            &["typo.yaml", "No such file"],
        )
        .into(),
        Situation::PartlyRefused => run(
            "policy test -f policy.yaml typo-1.0.0.tgz hashtest-1.2.3.tgz",
            USAGE,
            &["typo-1.0.0.tgz", "No such file"],
        )
        .into(),
    }
}

const RUN: &str = "run --metrics-addr 127.0.0.1:0 --health-addr 127.0.0.1:0";
const WEBHOOK: &str = "webhook --webhook-addr 127.0.0.1:0 --health-addr 127.0.0.1:0";

fn serving(arguments: &str, situation: Situation) -> Cell {
    match situation {
        Situation::OutputClosed
        | Situation::BothClosed
        | Situation::DiskFull
        | Situation::NothingAllowed
        | Situation::NothingWritable
        | Situation::KindsUnknown
        | Situation::LeaseOld
        | Situation::LeaseMissing => Cell::Serves(words(arguments)),
        Situation::ReleaseMissing | Situation::ApplicationMissing | Situation::NamespaceMissing => {
            Cell::DoesNotApply("it names no release")
        }
        Situation::KeyMissing | Situation::PolicyMissing => {
            Cell::DoesNotApply("what policies name and lack is told in their status")
        }
        Situation::PartlyRefused => Cell::DoesNotApply("it serves until it may do everything"),
    }
}
