//! The packed charm: what is in it runs where nothing else is, and charmcraft packs the same.

#[cfg(test)]
mod pack {
    use std::collections::BTreeMap;
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use rehearsal::pack::{Profile, Progress, pack};

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

    fn workspace() -> PathBuf {
        let rehearsal = Path::new(env!("CARGO_MANIFEST_DIR"));
        rehearsal.ancestors().nth(2).unwrap().to_owned()
    }

    #[test]
    fn dispatch_runs_in_an_empty_root() {
        let place = tempfile::tempdir().unwrap();
        let charm = pack(&workspace(), place.path(), Profile::Ci, Progress::Shown).unwrap();
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

    /// Runs charmcraft as it runs in its container: on Ubuntu 22.04, with the packages and snaps of
    /// `charmcraft.yaml` installed. So it installs nothing here.
    const CHARMCRAFT: &str = r#"
import sys
try:
    import craft_parts.packages, craft_parts.packages.snaps, craft_platforms
    from charmcraft.application.main import main
except ImportError as missing:
    sys.exit(f"{missing}; run this with `tox -e integration`, which installs charmcraft")

packages = craft_parts.packages
packages.is_deb_based = packages.is_dnf_based = packages.is_yum_based = lambda: False
packages.snaps.install_snaps = lambda snaps: list(snaps)
ubuntu = craft_platforms.DistroBase("ubuntu", "22.04")
craft_platforms.DistroBase.from_linux_distribution = lambda *_, **__: ubuntu
sys.exit(main())
"#;

    /// Copies the source tree as git sees it, changes that are not committed included.
    fn copy(workspace: &Path, to: &Path) {
        let git = |place: &Path, arguments: &[&str]| {
            let mut git = Command::new("git");
            let output = git.args(arguments).current_dir(place).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let (from, target) = (workspace.to_str().unwrap(), to.to_str().unwrap());
        git(workspace, &["clone", "--quiet", from, target]);
        let changed = git(workspace, &["diff", "--name-only", "-z", "HEAD"]);
        let new = git(
            workspace,
            &["ls-files", "--others", "--exclude-standard", "-z"],
        );
        for name in changed.split('\0').chain(new.split('\0')) {
            let (source, copy) = (workspace.join(name), to.join(name));
            if source.is_file() {
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::copy(source, copy).unwrap();
            } else if copy.is_file() {
                fs::remove_file(copy).unwrap();
            }
        }
    }

    fn charmcraft(workspace: &Path, place: &Path) -> PathBuf {
        let tree = place.join("tree");
        copy(workspace, &tree);
        let python = std::env::var_os("VIRTUAL_ENV").map_or_else(
            || "python3".into(),
            |environment| Path::new(&environment).join("bin/python3"),
        );
        // What cargo has compiled for our charm is not compiled again; with other flags it would be.
        let target = Path::new(env!("CARGO_BIN_EXE_pack")).ancestors().nth(2);
        let mut command = Command::new(python);
        command
            .args(["-c", CHARMCRAFT, "pack", "--destructive-mode"])
            .args(["--verbosity", "verbose"])
            .current_dir(&tree)
            .env("CARGO_TARGET_DIR", target.unwrap())
            .env("CHARM_PROFILE", "ci");
        for name in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env(name, place.join(name));
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let mut files = fs::read_dir(&tree)
            .unwrap()
            .map(|file| file.unwrap().path());
        files
            .find(|file| file.extension().is_some_and(|it| it == "charm"))
            .unwrap()
    }

    /// What an archive has: the mode and the content of each file.
    fn members(charm: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = zip::ZipArchive::new(File::open(charm).unwrap()).unwrap();
        let mut members = BTreeMap::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            let name = file.name().unwrap().into_owned();
            members.insert(name, (file.unix_mode().unwrap() & 0o777, content));
        }
        members
    }

    #[test]
    fn charmcraft_packs_the_same_charm() {
        let place = tempfile::tempdir().unwrap();
        let ours = pack(
            &workspace(),
            &place.path().join("out"),
            Profile::Ci,
            Progress::Shown,
        )
        .unwrap();
        let theirs = charmcraft(&workspace(), place.path());
        assert_eq!(ours.file_name(), theirs.file_name());
        let (mut ours, mut theirs) = (members(&ours), members(&theirs));

        // Charmcraft says more there, of itself: its version and the time.
        let bases = |members: &mut BTreeMap<String, (u32, Vec<u8>)>| {
            let (mode, manifest) = members.remove("manifest.yaml").unwrap();
            let manifest: serde_json::Value = serde_saphyr::from_slice(&manifest).unwrap();
            (mode, manifest["bases"].clone())
        };
        assert_eq!(bases(&mut ours), bases(&mut theirs));

        assert!(ours.keys().eq(theirs.keys()), "{:?}", theirs.keys());
        for (name, (mode, content)) in &ours {
            let (their_mode, their_content) = &theirs[name];
            assert_eq!(mode, their_mode, "{name}");
            assert!(content == their_content, "{name} is not the same");
        }
        // Nothing of this machine is in it.
        let (_, dispatch) = &ours["dispatch"];
        let dispatch = String::from_utf8_lossy(dispatch);
        for place in [workspace().as_path(), place.path()] {
            assert!(!dispatch.contains(place.to_str().unwrap()), "{place:?}");
        }
    }
}
