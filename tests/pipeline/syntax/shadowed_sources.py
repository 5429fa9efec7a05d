"""Sources that a grammar cannot parse as they are, with the functions in them: (name, first line, last line)."""

from __future__ import annotations

HEADER = """\
#pragma once
FMT_BEGIN_NAMESPACE
namespace tiny {
FMT_EXPORT template <typename T, ENABLE_IF(!is_same<T, int>::value)>
class TINY_API list : public base {
 public:
  FMT_CONSTEXPR list(int n) : n_(n) {
    a();
  }
  TINY_INLINE void push(const T& v) noexcept {
    items_.push_back(v);
  }
#ifdef TINY_CHECKED
  const T& at(int i) const {
    check(i);
#else
  const T& at(int i) const noexcept {
#endif
    return items_[i];
  }
};
TINY_API auto sum(const list<int>& l, options o = {}) -> int {
  if TINY_CONSTEXPR (sizeof(int) > 2) {
    return 1;
  }
  return 0;
}
struct TINY_API final_one final {
  int get() TINY_NOEXCEPT {
    FOR_EACH(x, list) {
      a(x);
    }
  }
};
}  // namespace tiny
FMT_END_NAMESPACE
TEST_CASE("a list is empty", "[list]") {
  a();
}
"""

CALLS = """\
/* The engine's
   own METHODS(a, b) */
ENGINE_METHOD(Archive, mount)
{
	int r = take();
	RETURN_INT(r);
}

SYSCALL_DEFINE2(lookup, const char *, name,
		int, flags)
{
	LIST_FOREACH(entry) {
		use(entry);
	}
	return 0;
}
PHP_FUNCTION(x) {
	a();
}
static int
gnu_style(int a)
{
	return a;
}
static int FN(init)(int a)
{
	return a;
}
#ifdef __cplusplus
extern "C" {
#endif
int old(a, b) int a; char *b;
{
	return a;
}
#ifdef __cplusplus
}
#endif
API_EXPORT jint JNICALL Java_open(JNIEnv *env)
{
	return 0;
}
int (*chooser(int a))(int)
{
	return 0;
}
"""

CUT = """\
public interface ILogger
{
    ILogger ForContext(string name)
#if FEATURE_DEFAULTS
    {
        return new Wrapped(this, name);
    }
#else
    ;
#endif

    void Write(
#if NET
        ReadOnlySpan<char> text
#else
        string text
#endif
    )
    {
        Send("#if no directive");
    }

#if NET
    [Fast]
#endif
    int Count()
    {
        return 1;
    }
#if A
    void Whole()
    {
        a();
    }
#elif B
    void Whole()
    {
        b();
    }
#endif
}
"""

ITEMS = """\
cfg_if::cfg_if! {
    if #[cfg(unix)] {
        pub fn open(path: &str) -> [u8; 2] {
            let n = '{';
            n
        }
    } else {
        const A: u32 = 1; /* fn no(a) { */
        #[inline]
        fn open(path: &str) -> i32 {
            2
        }
    }
}
impl Pool {
    cfg_rt! {
        pub async fn take<'a>(&'a self) -> i32 {
            let x = self.n;
            x
        }
    }
    fn within(&self) {
        quote! {
            fn generated() {
            }
        }
    }
}
macro_rules! make {
    () => {
        fn made() {
        }
    };
}
#[cfg(not(test))]
fn product() {
    a()
}
#[cfg(all(test, unix))]
mod tests {
    fn helper(n: usize) {
        a()
    }
}
#[tokio::test(flavor = "x")]
async fn checks() {
    a()
}
"""

SHADOWED = {
    "list.h": (
        HEADER,
        [
            ("tiny.list.list", 7, 9),
            ("tiny.list.push", 10, 12),
            ("tiny.list.at", 14, 20),
            ("tiny.sum", 22, 27),
            ("tiny.final_one.get", 29, 33),
            ("TEST_CASE.a list is empty.[list]", 37, 39),
        ],
    ),
    "calls.c": (
        CALLS,
        [
            ("ENGINE_METHOD.Archive.mount", 3, 7),
            ("SYSCALL_DEFINE2.lookup", 9, 16),
            ("PHP_FUNCTION.x", 17, 19),
            ("gnu_style", 20, 24),
            ("FN.init", 25, 28),
            ("old", 32, 35),
            ("Java_open", 39, 42),
            ("chooser", 43, 46),
        ],
    ),
    "cut.cs": (
        CUT,
        [
            ("ILogger.ForContext", 3, 7),
            ("ILogger.Write", 12, 21),
            ("ILogger.Count", 23, 29),
            ("ILogger.Whole", 31, 34),
            ("ILogger.Whole", 36, 39),
        ],
    ),
    "items.rs": (
        ITEMS,
        [
            ("open", 3, 6),
            ("open", 10, 12),
            ("Pool.take", 17, 20),
            ("Pool.within", 22, 27),
            ("product", 36, 38),
        ],
    ),
}
