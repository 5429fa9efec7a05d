"""A source of every language with the metrics of its functions, computed by hand from docs/reference/metrics.md.

Expected: (qualified name, cyclomatic complexity, nesting depth, fan-out, exits, parameters) in document order.
"""

from __future__ import annotations

PYTHON = '''\
def straight(self, a):
    b = a
    return b

@register(1)
def branches(a, b=1, *args, c: int, d: str = "", **rest):
    if a and b or c:
        return 1
    elif d:
        raise ValueError(d)
    else:
        x = 1 if b else 2
    return x

def loops(items, /, cls, *, limit):
    for item in items:
        while item:
            if item > limit:
                break
            continue
        else:
            item.a.run().stop()
    return [x for x in items if x if not x.run()]

def handles(a):
    try:
        with open(a) as f:
            return f.read()
    except OSError:
        return None
    except ValueError:
        raise
    finally:
        close(a)

def matches(a):
    match a:
        case 1 | 2:
            return "few"
        case [x] if x:
            return x
        case _ if a:
            pass
        case _:
            pass

def outer(a):
    """Doc."""
    def inner(b):
        if b:
            return b
        return a
    def short(c): return c or a
    return sorted(a, key=lambda x: x or 1)

handler = lambda a, b: (
    a() if b
    else b())
'''

SCRIPT = """\
function branches(a, b = 1, ...rest) {
  if (a && b || rest) {
    return 1
  } else if (a ?? b) {
    throw new Error('x')
  } else {
    b ||= a ? 1 : 2
  }
  return b?.c
}
const loops = async (items) => {
  outer: for (const item of items) {
    for (let i = 0; i < 3; i++) {
      while (i) { continue outer }
      do { break outer } while (i)
      break
    }
  }
}
class A {
  constructor(a) {
    super(a)
    this.x = x => x || a
  }
  chooses(a) {
    switch (a) {
      case 1:
      case 2:
        this.go()
        break
      case 3:
        return 3
      default:
        if (a) break
        for (;;) { break }
    }
  }
  #handles({ a }, [b]) {
    try {
      a.b.c(b)()
    } catch (e) {
      return
    }
  }
}
function callbacks(done) {
  run(() => {
    if (done) { return 1 }
    return new ns.Thing(done)
  })
  function inner(a, b) {
    return a && b
  }
  return inner
}
const single = a => [
  a.b(),
  a.b(),
]
"""

SCRIPT_METRICS = [
    ("branches", 8, 1, 1, 2, 3),  # if, &&, ||, if, ??, ||=, ?:
    ("loops", 5, 3, 0, 3, 1),
    ("A.constructor", 2, 1, 1, 0, 1),
    ("A.chooses", 6, 2, 1, 2, 1),
    ("A.#handles", 2, 1, 1, 1, 2),
    ("callbacks", 2, 2, 2, 1, 1),
    ("callbacks.inner", 2, 0, 0, 0, 2),
    ("single", 1, 0, 1, 0, 1),
]

TYPESCRIPT = """\
export function typed<T>(a: T, b?: number, ...c: string[]): a is string {
  const f: (x: number, y: number) => void = g!(a)
  if (a) return true
  return a.b!<T>(c) as any
}
abstract class A {
  constructor(private readonly x: string) {
    super()
  }
  field = (a: string): void => {
    for (const k in a) { this.use(k) }
  }
}
namespace N {
  export const chosen = function (this: A, a: number) {
    return a > 1 ? 1 : a < 0 ? 2 : 3
  }
}
"""

JAVA = """\
class A extends B {
  A(int a, final String... rest) {
    this(a);
    count = a;
  }
  @Override
  public int branches(int a, int b) throws E {
    if (a > 1 && b > 1) {
      return a;
    } else if (a > 2 || b > 2) {
      throw new a.b.E<String>("x");
    }
    assert a > 0;
    return a > b ? a : b;
  }
  void loops(List<String> items) {
    outer:
    for (String item : items) {
      for (int i = 0; i < 3; i++) {
        while (item.isEmpty()) continue outer;
        do { break outer; } while (ready());
        if (i > 1) break;
      }
    }
  }
  int chooses(Object o) {
    switch (o.hashCode()) {
      case 1:
      case 2, 3:
        go();
        break;
      default:
        break;
    }
    return switch (o) {
      case String s when s.isEmpty() -> 1;
      case Integer i -> { yield 2; }
      default -> throw new E();
    };
  }
  void handles() {
    try (var in = open()) {
      synchronized (this) { in.read(); }
    } catch (IOException | E e) {
      return;
    } finally {
      close();
    }
  }
  Supplier<Integer> closures(A this, int a) {
    Runnable run = () -> {
      if (a > 0) { return; }
      go();
    };
    Function<Integer, Integer> f = (x) -> x;
    return new Supplier<>() { public Integer get() { return a > 0 || a < 0 ? 1 : 2; } };
  }
}
"""

GO = """\
package p

func Branches(a, b int, _ string) (int, error) {
	if x := a; x > 1 && b > 1 {
		return 1, nil
	} else if x > 2 || b > 2 {
		panic("x")
	}
	return b, nil
}

func (t *T) Loops(items ...string) {
outer:
	for i := range items {
		for {
			if i > 1 {
				break outer
			}
			continue
		}
	}
	goto outer
}

func chooses(a interface{}, c chan int) int {
	switch x := a.(type) {
	case int, string:
		return x
	case error:
	default:
		log.Print(a)
	}
	switch {
	case a == nil:
		fallthrough
	case a != nil:
		break
	}
	select {
	case <-c:
	case d := <-c:
		use(d)
	default:
	}
	return 0
}

func closures(int, string) {
	defer func(x int) {
		if recover() != nil {
			return
		}
	}(1)
	g := func(a, b int) int {
		return max[int](a, b)
	}
	x.y(g, T(1)).z()
}
"""

C = """\
static int branches(int a, char *b[], void (*cb)(int, int), ...)
{
    if (a && b) {
        return 1;
    } else if (a || b) {
        cb(a, 1);
    } else
        exit(1);
    return a ? 1 : 2;
}

char **loops(void)
{
    int declared(int x, int y);
    for (;;) {
        do {
            while (1)
                break;
            goto out;
        } while (a);
        continue;
    }
out:
    return 0;
}

int
chooses(a, b)
    int a; char b;
{
    switch (a) {
    case 1:
    case 2:
        s->run(b);
        break;
    default:
        if (b)
            break;
        return 1;
    }
    return (*fp)(a) + s.t.run(a);
}

void *flat(int a)
{
#ifdef X
    printf("%d", a);
#endif
    return sizeof(a) ? 0 : table[1](a);
}
"""

CPP = """\
template <class T>
A<T>::A(int a, T&&... rest) : x(a), y{make(a)}
{
    auto p = new ns::B<T>(a);
    p->template run<int>(static_cast<int>(a));
}

const std::string& A::branches(const T& a, int b = 1) const noexcept
{
    if constexpr (a and b) {
        return x;
    } else if (a or b || !a) {
        throw Error{1};
    }
    return a ? x : y;
}

int A::loops(std::vector<int> items)
{
    for (auto item : items) {
        try {
            std::ns::go<int>(item);
            switch (item) { case 1: break; default: continue; }
        } catch (const E& e) {
            throw;
        } catch (...) {
            break;
        }
    }
    return 0;
}

void closures(int a)
{
    std::sort(x, y, [&](int p, int q) {
        if (p) return true;
        return p < q;
    });
    auto named = [=](int b, auto... c) -> int {
        while (b--) { go<int>(b); }
        return b;
    };
}
"""

RUST = """\
impl<T> A<T> {
    fn branches(&self, mut a: i32, (b, c): (u8, u8)) -> Result<i32, E> {
        if let Some(x) = self.x && a > 1 {
            return Ok(x);
        } else if a > 1 || b > 1 {
            self.fails::<i32>(a)?;
        } else {
            panic!("x");
        }
        let Some(w) = self.w else { return Err(E) };
        Self::new(w)?.done()
    }
    fn loops(self: Box<Self>) {
        'outer: loop {
            for x in 0..3 {
                while x > 1 { break 'outer; }
                continue;
            }
        }
    }
}
fn chooses(a: Option<i32>) -> i32 {
    match a {
        Some(1 | 2) => 1,
        Some(x) if x > 3 => std::todo!(),
        _ if ready() => return 2,
        _ => 3,
    }
}
fn closures(a: i32) -> i32 {
    let named = |x: i32, y| {
        if x > y { return x; }
        y
    };
    items.iter().map(|z| { return z + 1; }).sum::<i32>();
    return named(a, 1);
}
"""

CSHARP = """\
class A : B {
  public A(int a, params string[] rest) : base(a) {
    Count = a;
  }
  public int Branches<T>(ref int a, string b = "x") where T : B {
    if (a > 1 && b != null) {
      return a;
    } else if (a > 2 || b is "x" or "y") {
      throw new N.E<T>(nameof(a));
    }
    b ??= a > 1 ? "a" : b ?? throw new E();
    return Use<T>(a).b?.c();
  }
  async Task Loops(int[] items) {
    await foreach (var item in items) {
      for (;;) { if (item > 1) break; }
      while (true) { continue; }
      do { goto done; } while (true);
    }
    done: ;
  }
  int Chooses(object o) {
    switch (o) {
      case 1:
      case string s when s.Length > 1:
        goto case 1;
      case null:
        break;
      default:
        return 1;
    }
    return o switch {
      int i and > 1 => i,
      _ when Ready() => 2,
      _ => 3,
    };
  }
  IEnumerable<int> Handles() {
    try {
      using (var x = Open()) lock (x) { yield return x.Get<int>(); }
      yield break;
    } catch (E e) when (e.Ready) {
      throw;
    } finally {
      Close();
    }
  }
  int P {
    get {
      return x;
    }
    set {
      if (value > 1) return;
      x = value;
    }
  }
  int this[int i, int j] =>
    i > j ? i
      : items.First(x => x > j);
  void Closures() {
    Func<int, int, int> named = (a, b) => {
      return a > b ? a : b;
    };
    int Local(int q) { return q; }
    Run(delegate (int q) { if (q > 1) return; });
  }
}
"""

RUBY = """\
class A
  def branches(a, b = 1, *c, d:, **e, &f)
    if a && b or c
      return 1
    elsif d
      raise ArgumentError, "x"
    else
      x = a ? 1 : 2
    end
    raise unless x
    a ||= b.size
    a or return
    x
  end
  def self.loops items
    for item in items
      until item
        break
      end
      begin; step(item); end while item
    end
    items.each do |x|
      next if x
      redo
    end
    items.map { |x| x&.name }
  end
  def chooses(a)
    case a
    when 1, 2 then "few"
    when 3
      return 3
    else
      "many"
    end
    case a
    in [x] if x
      x
    in _
      a
    end
  end
  def handles
    open("x")
  rescue IOError, SystemCallError => e
    retry
  rescue
    raise
  ensure
    close() rescue nil
  end
  def tries(a)
    super(a)
    begin
      yield a
    rescue => e
      fail e
    end
    Integer(a)
  end
end
named = ->(a, b) {
  return a if b
  a.call
}
other = lambda do |a|
  a
end
"""

PHP = """\
<?php
function branches(int $a, &$b = 1, ...$c): int {
  if ($a && $b || $c) {
    return 1;
  } elseif ($a and $b) {
    throw new \\N\\E('x');
  } else if ($a ?? $b) {
    $c ??= $a ?: $b;
  } else {
    die('x');
  }
  return $a;
}
class A {
  public function __construct(private int $x, $y) {
    parent::__construct($y);
    $this->make(new B);
  }
  abstract function none();
  static function loops($items) {
    foreach ($items as $item) {
      for (;;) { break 2; }
      while ($item): continue; endwhile;
      do { goto out; } while ($item);
    }
    out:
  }
  function chooses($a) {
    switch ($a) {
      case 1:
      case 2:
        $f($a);
        break;
      default:
        break;
    }
    return match (true) {
      $a > 1, $a < 0 => $this?->few(),
      $a === 0 => A::none(),
      default => 3,
    };
  }
  function handles() {
    try {
      \\N\\open();
    } catch (A | B $e) {
      return;
    } catch (C $e) {
      exit;
    } finally {
      close();
    }
  }
}
$named = function ($a, $b) use ($c) {
  usort($a, fn($x, $y) => $x ?: $y);
  return $a;
};
"""

KOTLIN = """\
class A(val x: Int) : B(x) {
  constructor(a: Int, b: Int = 2) : this(a) {
    check(b)
    run()
  }
  fun branches(a: Int?, vararg b: String, c: (Int) -> Unit): Int {
    if (a == 1 && b.any()) {
      return 1
    } else if (a == 2 || c == null) {
      throw E("x")
    }
    val d = a ?: return 2
    return if (d > 1) 1 else 2
  }
  inline fun <T> T.loops(items: List<Int>) {
    outer@ for (item in items) {
      while (item > 1) { if (item > 2) break }
      do {
        break@outer
      } while (ready())
      val y = find(item) ?: continue
    }
  }
  fun chooses(a: Any): Int {
    when (a) {
      1, 2 -> go()
      is String -> return 1
      in 1..2 -> { }
      else -> throw E()
    }
    return try { 1 } catch (e: E) { 2 } finally { close() }
  }
  fun closures(items: List<Int>) {
    items.forEach { x ->
      if (x > 1) return@forEach
      a.b.go(x)
    }
    val named = { p: Int, q: Int ->
      if (p > q) p
      else q
    }
    val f = fun(x: Int): Int { return x }
  }
  var z: Int
    get() {
      return 1
    }
    set(value) {
      field = value
      items.map { it.size }.first()
    }
}
"""

MEASURED: dict[str, tuple[str, list[tuple[str, int, int, int, int, int]]]] = {
    "a.py": (
        PYTHON,
        [
            ("straight", 1, 0, 0, 0, 1),
            ("branches", 6, 1, 2, 2, 6),  # if, and, or, elif, conditional; register and ValueError
            ("loops", 7, 3, 2, 2, 2),  # for, while, if, for and two ifs of the comprehension; run, stop
            ("handles", 3, 2, 3, 3, 1),  # two excepts; open, read, close
            ("matches", 5, 1, 0, 2, 1),  # two cases, two conditions
            ("outer", 3, 1, 1, 0, 1),  # or in short, or in the lambda; short and the lambda are a level each
            ("outer.inner", 2, 1, 0, 1, 1),
            ("handler", 2, 0, 2, 0, 2),
        ],
    ),
    "a.js": (SCRIPT, SCRIPT_METRICS),
    "flow.js": ("// @flow\n" + SCRIPT, SCRIPT_METRICS),
    "a.tsx": (SCRIPT, SCRIPT_METRICS),
    "a.ts": (
        TYPESCRIPT,
        [
            ("typed", 2, 1, 2, 1, 3),  # g, b
            ("A.constructor", 1, 0, 1, 0, 1),
            ("A.field", 2, 1, 1, 0, 1),
            ("N.chosen", 3, 0, 0, 0, 1),
        ],
    ),
    "A.java": (
        JAVA,
        [
            ("A.A", 1, 0, 1, 0, 2),  # this
            ("A.branches", 6, 1, 1, 2, 2),  # if, &&, if, ||, ?:; E
            ("A.loops", 6, 3, 2, 3, 1),  # for, for, while, do, if; isEmpty, ready
            ("A.chooses", 6, 1, 4, 1, 1),  # two labels, two labels and a guard; hashCode, go, isEmpty, E
            ("A.handles", 2, 2, 3, 1, 0),  # open, read, close
            ("A.closures", 3, 1, 1, 0, 1),  # ||, ?: of a method of one line; Supplier
            ("A.closures.run", 2, 1, 1, 1, 0),
        ],
    ),
    "a.go": (
        GO,
        [
            ("Branches", 5, 1, 1, 2, 3),
            ("T.Loops", 4, 3, 0, 3, 1),
            ("chooses", 7, 1, 2, 2, 2),  # log.Print, use
            ("closures", 2, 2, 4, 1, 2),  # recover, y, T, z
            ("closures.g", 1, 0, 1, 0, 2),
        ],
    ),
    "a.c": (
        C,
        [
            ("branches", 6, 1, 2, 2, 3),
            ("loops", 4, 3, 0, 3, 0),
            ("chooses", 4, 2, 1, 1, 2),
            ("flat", 2, 0, 1, 0, 1),
        ],
    ),
    "a.cc": (
        CPP,
        [
            ("A.A", 1, 0, 3, 0, 2),  # make, B, run
            ("A.branches", 7, 1, 0, 2, 2),
            ("A.loops", 5, 3, 1, 3, 1),
            ("closures", 2, 2, 1, 1, 1),
            ("closures.named", 2, 1, 1, 0, 2),
        ],
    ),
    "a.rs": (
        RUST,
        [
            # if, &&, if, ||, two ?, let-else; Ok, fails, panic, Err, new, done
            ("A.branches", 8, 1, 6, 5, 2),
            ("A.loops", 4, 3, 0, 2, 0),
            ("chooses", 5, 1, 2, 2, 1),  # two arms, two conditions; todo, ready
            ("closures", 1, 1, 4, 0, 1),  # iter, map, sum, named
            ("closures.named", 2, 1, 0, 1, 2),
        ],
    ),
    "A.cs": (
        CSHARP,
        [
            ("A.A", 1, 0, 1, 0, 2),  # base
            ("A.Branches", 8, 1, 4, 3, 2),  # if, &&, if, ||, ??=, ?:, ??; E, nameof, Use, c
            ("A.Loops", 6, 3, 0, 3, 1),  # foreach, for, if, while, do
            ("A.Chooses", 7, 1, 1, 2, 1),  # three cases and a when, an arm, a when
            ("A.Handles", 3, 3, 3, 2, 0),  # catch, when; Open, Get, Close
            ("A.P.get", 1, 0, 0, 0, 0),
            ("A.P.set", 2, 1, 0, 1, 0),
            ("A.this", 2, 1, 1, 0, 2),
            ("A.Closures", 2, 2, 1, 1, 0),
            ("A.Closures.named", 2, 0, 0, 0, 2),
        ],
    ),
    "a.rb": (
        RUBY,
        [
            # if, &&, or, elsif, ?:, unless, ||=, or; raise, size
            ("A.branches", 9, 1, 2, 4, 6),
            ("A.self.loops", 5, 2, 4, 3, 1),  # for, until, while, if; step, each, map, name
            ("A.chooses", 5, 1, 0, 1, 1),  # two whens, an in and its if
            ("A.handles", 4, 1, 2, 2, 0),  # two rescues and a modifier; open, close
            ("A.tries", 2, 1, 3, 1, 1),  # super, fail, Integer
            ("named", 2, 1, 1, 1, 2),
            ("other", 1, 0, 1, 0, 1),  # lambda
        ],
    ),
    "a.php": (
        PHP,
        [
            ("branches", 10, 1, 2, 3, 3),  # if, &&, ||, elseif, and, if, ??, ??=, ?:; E, die
            ("A.__construct", 1, 0, 3, 0, 2),  # __construct, make, B
            ("A.loops", 5, 2, 0, 3, 1),
            ("A.chooses", 5, 1, 3, 0, 1),  # $f, few, none
            ("A.handles", 3, 1, 2, 2, 0),  # open, close
            ("$named", 2, 1, 1, 0, 2),
        ],
    ),
    "a.kt": (
        KOTLIN,
        [
            ("A.constructor", 1, 0, 3, 0, 2),  # this, check, run
            ("A.branches", 7, 1, 2, 3, 3),  # if, &&, if, ||, ?:, if; any, E
            ("A.loops", 6, 3, 2, 3, 1),  # for, while, if, do, ?:; ready, find
            ("A.chooses", 5, 1, 3, 2, 1),  # three entries, catch; go, E, close
            ("A.closures", 2, 2, 2, 1, 1),  # forEach, go
            ("A.closures.named", 2, 1, 0, 0, 2),
            ("A.z.get", 1, 0, 0, 0, 0),
            ("A.z.set", 1, 1, 2, 0, 1),  # map, first
        ],
    ),
}
