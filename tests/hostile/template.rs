//! The text of a component that implements our world with hand-written code: what no compiler for
//! plugins would make, such as several memories, or calls with pointers to nowhere.

/// A component of our world. All text is WebAssembly text; each part may be empty.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// What the export `manifest` returns; an honest one if empty.
    pub manifest: String,
    /// The body of the core function `manifest`, in place of one that returns the text.
    pub manifest_code: String,
    /// The body of the core function `sync`, which then returns success.
    pub sync: String,
    /// The type of the core function `sync` is one that may wait.
    pub waits: bool,
    /// Parts of the core module.
    pub module: String,
    /// Parts of the component, at its start.
    pub component: String,
}

const MANIFEST: &str = r#"{"manifest": 1, "name": "handmade", "version": "0.1.0", "models": [{"name": "Thing"}],
    "capabilities": {"hosts": ["base-url"]}, "syncs": [{"name": "run", "models": ["Thing"]}]}"#;

/// Where the manifest's text lies in memory. Before it: 0 is zeros (success), 16 its place and length.
const TEXT_AT: usize = 1024;

/// What functions of the contract look like, as far as the cases call them.
const TYPES: &str = r#"
  (type $types-type (instance
    (type $k (enum "transient" "auth" "config" "rejected" "unsupported" "other"))
    (export "failure-kind" (type $kind (eq $k)))
    (type $u (record (field "status" u16) (field "body" string)))
    (export "upstream" (type $upstream (eq $u)))
    (type $f (record (field "kind" $kind) (field "message" string) (field "code" (option string))
      (field "payload" (option string)) (field "upstream" (option $upstream))
      (field "retry-after-ms" (option u64)) (field "cause" (option u64))))
    (export "failure" (type (eq $f)))))
  (import "tidegate:plugin/types@0.2.0" (instance $types (type $types-type)))
  (alias export $types "failure" (type $failure))

  (type $log-type (instance
    (type $l (enum "debug" "info" "warn" "error"))
    (export "level" (type $level (eq $l)))
    (export "write" (func (param "level" $level) (param "message" string) (param "fields" string)))))
  (import "tidegate:plugin/log@0.2.0" (instance $log (type $log-type)))

  (type $records-type (instance
    (type $k (enum "denied" "invalid" "refused" "fenced" "other"))
    (export "error-kind" (type $kind (eq $k)))
    (type $e (record (field "kind" $kind) (field "message" string) (field "cause" u64)))
    (export "error" (type $error (eq $e)))
    (export "get" (func async (param "model" string) (param "ids" (list string))
      (result (result (list (option string)) (error $error)))))))
  (import "tidegate:plugin/records@0.2.0" (instance $records (type $records-type)))
"#;

impl Template {
    /// A component whose sync `run` does this.
    pub fn syncs(sync: &str) -> Self {
        Self {
            sync: sync.to_owned(),
            ..Self::default()
        }
    }

    /// A component that says this of itself.
    pub fn says(manifest: &str) -> Self {
        Self {
            manifest: manifest.to_owned(),
            ..Self::default()
        }
    }

    pub fn module(mut self, parts: &str) -> Self {
        self.module.push_str(parts);
        self
    }

    /// The component's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap_or_else(|error| panic!("{error}"))
    }

    fn text(&self) -> String {
        let manifest = if self.manifest.is_empty() {
            MANIFEST
        } else {
            &self.manifest
        };
        let data = format!("{manifest:?}");
        let pages = (TEXT_AT + manifest.len()) / 65536 + 2;
        let place: String = [TEXT_AT, manifest.len()]
            .map(|number| u32::try_from(number).unwrap().to_le_bytes())
            .concat()
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let manifest_code = if self.manifest_code.is_empty() {
            "(i32.const 16)"
        } else {
            &self.manifest_code
        };
        let (sync_code, sync_lift) = if self.waits {
            // The result has too many parts for parameters, so it is where a pointer says. Success is zeros.
            (
                format!("{} (call $return (i32.const 0)) (i32.const 0)", self.sync),
                "async (callback (core func $main \"callback\"))",
            )
        } else {
            (format!("{} (i32.const 0)", self.sync), "")
        };
        let Self {
            module, component, ..
        } = self;
        format!(
            r#"(component {component} {TYPES}
  (core module $Libc
    (memory (export "memory") {pages})
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512)))
  (core instance $libc (instantiate $Libc))
  (core func $log-write (canon lower (func $log "write") (memory (core memory $libc "memory"))))
  (core func $records-get (canon lower (func $records "get") (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (core func $waitable-set-new (canon waitable-set.new))
  (core func $sync-return (canon task.return (result (result (error $failure))) (memory (core memory $libc "memory"))))
  (core module $Main
    (import "libc" "memory" (memory $memory {pages}))
    (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "host" "get" (func $get (param i32 i32 i32 i32 i32)))
    (import "host" "waitable-set-new" (func $waitable-set-new (result i32)))
    (import "host" "return" (func $return (param i32)))
    (data (i32.const 16) "{place}")
    (data (i32.const {TEXT_AT}) {data})
    {module}
    (func (export "manifest") (result i32) {manifest_code})
    (func (export "sync") (param i32 i32) (result i32) {sync_code})
    (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
    (func (export "call") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $main (instantiate $Main
    (with "libc" (instance $libc))
    (with "host" (instance
      (export "log" (func $log-write))
      (export "get" (func $records-get))
      (export "waitable-set-new" (func $waitable-set-new))
      (export "return" (func $sync-return))))))
  (type $manifest-type (func (result string)))
  (func $manifest (type $manifest-type) (canon lift (core func $main "manifest") (memory (core memory $libc "memory"))))
  (export "manifest" (func $manifest))
  (type $sync-type (func async (param "name" string) (result (result (error $failure)))))
  (func $sync (type $sync-type) (canon lift (core func $main "sync") {sync_lift} (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (export "sync" (func $sync))
  (type $action-type (func async (param "name" string) (param "input" string)
    (result (result string (error $failure)))))
  (func $action (type $action-type) (canon lift (core func $main "call") (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (export "action" (func $action))
  (type $event-type (func async (param "kind" string) (param "payload" string)
    (result (result string (error $failure)))))
  (func $event (type $event-type) (canon lift (core func $main "call") (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (export "event" (func $event))
)"#
        )
    }
}
