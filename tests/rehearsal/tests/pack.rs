//! The packed charm: what is in it runs where nothing else is.

#[cfg(test)]
mod pack {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Output};

    use rehearsal::pack::{Profile, pack};

    /// Runs `dispatch` in a root that holds nothing but itself.
    fn alone(root: &Path, environment: &[(&str, &str)]) -> Output {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "chroot"])
            .arg(root)
            .arg("/dispatch")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(environment.iter().copied())
            .output()
            .unwrap()
    }

    #[test]
    fn dispatch_runs_in_an_empty_root() {
        let place = tempfile::tempdir().unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let charm = pack(&workspace, place.path(), Profile::Ci).unwrap();
        let mut archive = zip::ZipArchive::new(File::open(&charm).unwrap()).unwrap();
        let mut dispatch = archive.by_name("dispatch").unwrap();
        assert_eq!(dispatch.unix_mode().unwrap() & 0o777, 0o755);

        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        let program = root.join("dispatch");
        std::io::copy(&mut dispatch, &mut File::create(&program).unwrap()).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        let unknown = [
            ("JUJU_DISPATCH_PATH", "hooks/of-a-later-juju"),
            ("JUJU_UNIT_NAME", "temporal-k8s/0"),
            ("JUJU_MODEL_NAME", "prod"),
            ("JUJU_VERSION", "4.9.0"),
            ("JUJU_CHARM_DIR", "/"),
        ];
        let ran = alone(&root, &unknown);
        assert!(ran.status.success(), "{ran:?}");
        assert!(ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");

        // Outside of a hook it says so: it was our program that ran before, not nothing.
        let ran = alone(&root, &[]);
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        assert!(
            String::from_utf8_lossy(&ran.stderr).starts_with("temporal-k8s: "),
            "{ran:?}"
        );
    }
}
