mod answers;
mod blobs;
mod deployed;
mod hostile;
mod logins;
mod manifests;
mod realms;
mod verify;
