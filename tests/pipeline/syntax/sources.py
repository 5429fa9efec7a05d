"""A source of every language with difficult functions, and the functions as listed by hand.

Expected: (qualified name, ordinal, first line, last line) in document order.
"""

from __future__ import annotations

PYTHON = '''\
@cache
def one_liner(): return 1

def two_lines():
    return 2

@first
@second(
    1,
)
async def decorated(a):
    return a

class A(B):
    """Doc."""

    @property
    def size(self):
        return 1

    @size.setter
    def size(self, n):
        self.n = n

    class Inner:
        def deep(self):
            def closure():
                x = 1
                return x
            return closure

@dataclass
class C:
    x = 1
    def last(self):
        a()
        b()

handler = lambda x: (
    x,
)
A.patched = lambda: [
    1,
]
call(lambda x: [
    x,
])
'''

JAVASCRIPT = """\
export function* gen() {
  yield 1
}
const arrow = async (x) => {
  list.map((y) => {
    return y
  })
}
const short = () => 1
const both = function own() {
  return 1
}
run(function named() {
  return 1
})
class A {
  constructor() {
    this.x = () => {
      return 1
    }
  }
  get v() {
    return 1
  }
  set v(x) {
    this.y = x
  }
  static #hidden() {
    return 1
  }
  [Symbol.iterator]() {
    return 1
  }
  field = () => {
    return 1
  }
}
const api = {
  get: function () {
    return 1
  },
  'quoted-key': () => {
    return 1
  },
  nested: { method() {
    return 1
  } },
}
A.prototype.added = function () {
  return 1
}
module.exports = {
  exported() {
    return 1
  },
}
const K = class Own {
  m() {
    return 1
  }
}
const { a = () => {
  return 1
} } = f
export default () => {
  return 1
}
"""

TYPESCRIPT = """\
function over(a: string): void
function over(a: number): void
function over(a: unknown) {
  use(a)
}
interface I {
  declared(
    a: string,
  ): void
}
abstract class A<T> extends B {
  abstract bodiless(
    a: string,
  ): void
  private field: Handler = async <T,>(x: T): Promise<void> => {
    await x
  }
  @decorated()
  method?(): void {
    use()
  }
}
namespace N.M {
  export function inner() {
    return 1
  }
}
declare module 'm' {
  class C { m() {
    return 1
  } }
}
export default class {
  m() {
    return 1
  }
}
"""

TSX = """\
export const Button = ({ x }: Props) => {
  const onClick = () => {
    x()
  }
  return <a onClick={() => {
    onClick()
  }}>{x}</a>
}
export default function () {
  return <Button x={1} />
}
"""

JAVA = """\
package p;
class A {
  A() {
    this(1);
  }
  A(int x) {
    this.x = x;
  }
  @Override
  public <T> void m(T t) {
    Runnable r = () -> {
      t.run();
    };
    new Thread() { public void run() {
      t.run();
    } };
  }
  abstract void none(
    int a
  );
  interface I {
    void none();
    default void d() {
      none();
    }
  }
  enum E {
    X { void x() {
      e();
    } };
    void e() {
      return;
    }
  }
  record R(int a) {
    R {
      check(a);
    }
  }
  static {
    init();
  }
}
"""

GO = """\
package p

func (t *T) Pointer() int {
	return 1
}
func (T[K, V]) Value() {
	callback(func() {
		work()
	})
}
func F() {
	g := func() {
		work()
	}
	x.y = func() {
		work()
	}
	a, b := func() {
		work()
	}, 1
	g()
}
var V = func() {
	work()
}
var M = map[string]func(){
	"key": func() {
		work()
	},
}

func assembler(a int,
	b int,
) int
type I interface {
	M(
		a int,
	)
}
"""

C = """\
#include <a.h>
int prototype(
  int a
);
static char *pointer(void)
{
  return 0;
}
int (*returns_function(int x))(void) {
  if (x) {
    return 0;
  }
}
int knr(a, b)
  int a;
  char b;
{
  return a;
}
#ifdef X
void same(void) {
  x();
}
#else
void same(void) {
  y();
}
#endif
"""

CPP = """\
namespace a::b {
template <typename T>
class X : Y {
  X() : y(1) {
    init();
  }
  ~X() {
    drop();
  }
  bool operator<(const X& o) const {
    return y < o.y;
  }
  operator bool() const {
    return y;
  }
  X& operator=(X&&) = default;
  void declared(
    int a);
};
namespace {
void anonymous() {
  work();
}
}
}
template <typename T>
int X<T>::member(int a) {
  auto lambda = [&](int x) {
    return x;
  };
  return lambda(a);
}
std::vector<int> ns::A::b() const {
  sort([](int x) {
    return x;
  });
}
ns::A::~A() {
  drop();
}
struct S { void m() {
  work();
} };
"""

RUST = """\
impl<T> Foo<T> {
    fn a(&self) {
        work()
    }
}
impl fmt::Display for m::Bar<'_> {
    fn fmt(&self) {
        work()
    }
}
impl Debug for &mut Baz<T> {
    fn fmt(&self) {
        work()
    }
}
trait T {
    fn bodiless(
        &self,
    );
    fn default(&self) {
        work()
    }
}
mod m {
    #[inline]
    async fn q() {
        let c = |x| {
            work(x)
        };
        c(|y| {
            work(y)
        })
    }
}
"""

CSHARP = """\
namespace N.M {
  class A<T> : B {
    public A(int x) {
      this.x = x;
    }
    ~A() {
      Drop();
    }
    [Attribute]
    public int M() {
      int Local(int z) {
        return z;
      }
      return Local(1);
    }
    public int P {
      get {
        return 1;
      }
      set { x = 1; }
    }
    int Auto { get; set; }
    int Arrow =>
      x +
      1;
    public static A operator +(A a, A b) {
      return a;
    }
    public static implicit operator int(A a) {
      return 1;
    }
    int this[int i] {
      get {
        return 1;
      }
    }
    void IFoo.Explicit() {
      Work();
    }
    Func<int> f = () => {
      return 1;
    };
    abstract void None(
      int a
    );
  }
}
record R(int X) { void M() {
  Work();
} }
"""

RUBY = """\
module A::B
  class C < D
    def x
      work
    end

    def self.y(a)
      work
    end

    class << self
      def z
        work
      end
    end

    def ==(other)
      work
    end

    def short; 1; end

    each do |x|
      work
    end

    HANDLER = lambda do |x|
      work
    end
    arrow = ->(x) {
      work
    }
    other = list.map do |x|
      work
    end
  end
end
def A.outside
  work
end
"""

PHP = """\
<html><?php
namespace A\\B;
class C extends D {
  public function __construct() {
    work();
  }
  abstract function none(
    $a
  );
  #[Attribute]
  function attributed() {
    work();
  }
}
trait T { function t() {
  work();
} }
enum E { function e() {
  work();
} }
function f() {
  $closure = function ($x) {
    work();
  };
  map(function ($x) {
    work();
  });
  $this->h = fn($x) => work(
    $x,
  );
}
$o = new class { function anonymous() {
  work();
} };
?></html>
"""

KOTLIN = """\
class A(val x: Int) {
    constructor(y: String) : this(1) {
        work(y)
    }
    init {
        work()
    }
    companion object {
        fun make(): A {
            return A(1)
        }
    }
    fun String.extension(a: Int): Int {
        return a
    }
    val p: Int
        get() {
            return 3
        }
    val lambda = { x: Int ->
        work(x)
    }
    fun expression() =
        listOf(1).map {
            it
        }
    abstract fun none(
        a: Int,
    )
}
object O {
    fun z() {
        fun local() {
            work()
        }
        local()
    }
}
enum class E {
    X {
        override fun f() {
            work()
        }
    }
}
"""

GOLDEN: dict[str, tuple[str, list[tuple[str, int, int, int]]]] = {
    "a.py": (
        PYTHON,
        [
            ("decorated", 0, 7, 12),
            ("A.size", 0, 17, 19),
            ("A.size", 1, 21, 23),
            ("A.Inner.deep", 0, 26, 30),
            ("A.Inner.deep.closure", 0, 27, 29),
            ("C.last", 0, 35, 37),
            ("handler", 0, 39, 41),
            ("A.patched", 0, 42, 44),
        ],
    ),
    "a.js": (
        JAVASCRIPT,
        [
            ("gen", 0, 1, 3),
            ("arrow", 0, 4, 8),
            ("both", 0, 10, 12),
            ("named", 0, 13, 15),
            ("A.constructor", 0, 17, 21),
            ("A.constructor.this.x", 0, 18, 20),
            ("A.v", 0, 22, 24),
            ("A.v", 1, 25, 27),
            ("A.#hidden", 0, 28, 30),
            ("A.[Symbol.iterator]", 0, 31, 33),
            ("A.field", 0, 34, 36),
            ("api.get", 0, 39, 41),
            ("api.quoted-key", 0, 42, 44),
            ("api.nested.method", 0, 45, 47),
            ("A.prototype.added", 0, 49, 51),
            ("module.exports.exported", 0, 53, 55),
            ("K.m", 0, 58, 60),
            ("default", 0, 65, 67),
        ],
    ),
    "a.ts": (
        TYPESCRIPT,
        [
            ("over", 0, 3, 5),
            ("A.field", 0, 15, 17),
            ("A.method", 0, 19, 21),
            ("N.M.inner", 0, 24, 26),
            ("m.C.m", 0, 29, 31),
            ("default.m", 0, 34, 36),
        ],
    ),
    "a.tsx": (TSX, [("Button", 0, 1, 8), ("Button.onClick", 0, 2, 4), ("default", 0, 9, 11)]),
    "A.java": (
        JAVA,
        [
            ("A.A", 0, 3, 5),
            ("A.A", 1, 6, 8),
            ("A.m", 0, 9, 17),
            ("A.m.r", 0, 11, 13),
            ("A.m.run", 0, 14, 16),
            ("A.I.d", 0, 23, 25),
            ("A.E.X.x", 0, 28, 30),
            ("A.E.e", 0, 31, 33),
            ("A.R.R", 0, 36, 38),
        ],
    ),
    "a.go": (
        GO,
        [
            ("T.Pointer", 0, 3, 5),
            ("T.Value", 0, 6, 10),
            ("F", 0, 11, 22),
            ("F.g", 0, 12, 14),
            ("F.x.y", 0, 15, 17),
            ("V", 0, 23, 25),
            ("key", 0, 27, 29),
        ],
    ),
    "a.c": (
        C,
        [
            ("pointer", 0, 5, 8),
            ("returns_function", 0, 9, 13),
            ("knr", 0, 14, 19),
            ("same", 0, 21, 23),
            ("same", 1, 25, 27),
        ],
    ),
    "a.cpp": (
        CPP,
        [
            ("a.b.X.X", 0, 4, 6),
            ("a.b.X.~X", 0, 7, 9),
            ("a.b.X.operator<", 0, 10, 12),
            ("a.b.X.operator bool", 0, 13, 15),
            ("a.b.anonymous", 0, 21, 23),
            ("X.member", 0, 26, 32),
            ("X.member.lambda", 0, 28, 30),
            ("ns.A.b", 0, 33, 37),
            ("ns.A.~A", 0, 38, 40),
            ("S.m", 0, 41, 43),
        ],
    ),
    "a.rs": (
        RUST,
        [
            ("Foo.a", 0, 2, 4),
            ("m.Bar.fmt", 0, 7, 9),
            ("Baz.fmt", 0, 12, 14),
            ("T.default", 0, 20, 22),
            ("m.q", 0, 26, 33),
            ("m.q.c", 0, 27, 29),
        ],
    ),
    "a.cs": (
        CSHARP,
        [
            ("A.A", 0, 3, 5),
            ("A.~A", 0, 6, 8),
            ("A.M", 0, 9, 15),
            ("A.M.Local", 0, 11, 13),
            ("A.P.get", 0, 17, 19),
            ("A.Arrow", 0, 23, 25),
            ("A.operator +", 0, 26, 28),
            ("A.operator int", 0, 29, 31),
            ("A.this.get", 0, 33, 35),
            ("A.Explicit", 0, 37, 39),
            ("A.f", 0, 40, 42),
            ("R.M", 0, 48, 50),
        ],
    ),
    "a.rb": (
        RUBY,
        [
            ("A.B.C.x", 0, 3, 5),
            ("A.B.C.self.y", 0, 7, 9),
            ("A.B.C.self.z", 0, 12, 14),
            ("A.B.C.==", 0, 17, 19),
            ("A.B.C.HANDLER", 0, 27, 29),
            ("A.B.C.arrow", 0, 30, 32),
            ("A.outside", 0, 38, 40),
        ],
    ),
    "a.php": (
        PHP,
        [
            ("C.__construct", 0, 4, 6),
            ("C.attributed", 0, 10, 13),
            ("T.t", 0, 15, 17),
            ("E.e", 0, 18, 20),
            ("f", 0, 21, 31),
            ("f.$closure", 0, 22, 24),
            ("f.$this->h", 0, 28, 30),
            ("anonymous", 0, 32, 34),
        ],
    ),
    "a.kt": (
        KOTLIN,
        [
            ("A.constructor", 0, 2, 4),
            ("A.Companion.make", 0, 9, 11),
            ("A.extension", 0, 13, 15),
            ("A.p.get", 0, 17, 19),
            ("A.lambda", 0, 20, 22),
            ("A.expression", 0, 23, 26),
            ("O.z", 0, 32, 37),
            ("O.z.local", 0, 33, 35),
            ("E.X.f", 0, 41, 43),
        ],
    ),
}
