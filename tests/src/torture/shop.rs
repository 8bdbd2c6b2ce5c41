//! The one real database that all restored databases of these suites are: the SQL is real, so is its TLS.

use restore_proof_local_aws::engine::{Postgres, Server};
use restore_proof_local_aws::process::StateFolder;
use restore_proof_local_aws::{Secret, World};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{BUCKET, CA_KEY};

const USER: &str = "reader";
pub(super) const PASSWORD: &str = "correct horse battery staple";

/// A PostgreSQL server with a table of orders.
pub struct Shop {
    server: Server,
    authority: String,
    // Dropped after the server, which lies in it.
    _folder: StateFolder,
    _runtime: Runtime,
}

impl Shop {
    /// Starts the server.
    pub fn open() -> Shop {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let folder = StateFolder::create().unwrap();
        let (server, authority) = runtime.block_on(async {
            let postgres = Postgres::new(folder.path()).await.unwrap();
            let server = postgres.start_server("shop").await.unwrap();
            for statement in [
                format!("create role {USER} login password '{PASSWORD}'"),
                "create table orders (id int)".to_owned(),
                "insert into orders select generate_series(1, 12)".to_owned(),
                format!("grant select on orders to {USER}"),
            ] {
                server.execute("postgres", &statement).await.unwrap();
            }
            (
                Server::Postgres(server),
                postgres.ca_certificate_pem().to_owned(),
            )
        });
        Shop {
            server,
            authority,
            _folder: folder,
            _runtime: runtime,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> (String, u16) {
        (self.server.host().to_owned(), self.server.port())
    }

    /// Lets a world know whom to trust and how to log in.
    pub fn introduce(&self, world: &World) {
        world.put_object(BUCKET, CA_KEY, self.authority.clone());
        let login = json!({ "username": USER, "password": PASSWORD, "dbname": "postgres" });
        world.add_secret(Secret {
            name: "restore-proof/shop".to_owned(),
            value: login.to_string(),
        });
    }
}
