"use strict";
// LaTeX as people and models write it in solutions, drawn as MathML, which browsers render themselves. What is not known
// stands there as it was written; nothing is ever parsed as markup. `Mathematics.fill(element, text)` is all that is used.
const Mathematics = (() => {
  const NS = "http://www.w3.org/1998/Math/MathML";
  const MOST_CHARACTERS = 6000, MOST_DEPTH = 40;

  const words = (list) => new Set(list.split(" "));
  const pairs = (list) => new Map(list.split(" ").map((pair) => [pair.slice(0, pair.indexOf(":")), pair.slice(pair.indexOf(":") + 1)]));
  const LETTERS = pairs(
    "alpha:α beta:β gamma:γ delta:δ epsilon:ϵ varepsilon:ε zeta:ζ eta:η theta:θ vartheta:ϑ iota:ι kappa:κ lambda:λ mu:μ " +
    "nu:ν xi:ξ omicron:ο pi:π varpi:ϖ rho:ρ varrho:ϱ sigma:σ varsigma:ς tau:τ upsilon:υ phi:ϕ varphi:φ chi:χ psi:ψ omega:ω " +
    "Gamma:Γ Delta:Δ Theta:Θ Lambda:Λ Xi:Ξ Pi:Π Sigma:Σ Upsilon:Υ Phi:Φ Psi:Ψ Omega:Ω infty:∞ ell:ℓ hbar:ℏ Re:ℜ Im:ℑ " +
    "aleph:ℵ emptyset:∅ varnothing:∅ partial:∂ nabla:∇ degree:° imath:ı jmath:ȷ wp:℘ top:⊤ bot:⊥ angle:∠ triangle:△ square:□ " +
    "Box:□ blacksquare:■ checkmark:✓ star:⋆ prime:′ dots:… ldots:… cdots:⋯ vdots:⋮ ddots:⋱ dotsc:… dotsb:⋯");
  const OPERATORS = pairs(
    "times:× cdot:⋅ div:÷ pm:± mp:∓ ast:∗ circ:∘ bullet:• oplus:⊕ otimes:⊗ odot:⊙ cup:∪ cap:∩ setminus:∖ wedge:∧ land:∧ vee:∨ " +
    "lor:∨ neg:¬ lnot:¬ le:≤ leq:≤ leqslant:≤ ge:≥ geq:≥ geqslant:≥ ne:≠ neq:≠ equiv:≡ approx:≈ sim:∼ simeq:≃ cong:≅ propto:∝ " +
    "ll:≪ gg:≫ in:∈ notin:∉ ni:∋ subset:⊂ subseteq:⊆ subsetneq:⊊ supset:⊃ supseteq:⊇ mid:∣ nmid:∤ parallel:∥ perp:⊥ " +
    "to:→ rightarrow:→ longrightarrow:⟶ leftarrow:← gets:← leftrightarrow:↔ Rightarrow:⇒ implies:⟹ Longrightarrow:⟹ Leftarrow:⇐ " +
    "impliedby:⟸ iff:⟺ Leftrightarrow:⇔ mapsto:↦ uparrow:↑ downarrow:↓ forall:∀ exists:∃ nexists:∄ therefore:∴ because:∵ colon:: " +
    "sum:∑ prod:∏ coprod:∐ int:∫ iint:∬ iiint:∭ oint:∮ bigcup:⋃ bigcap:⋂ bigoplus:⨁ bigwedge:⋀ bigvee:⋁ " +
    "lfloor:⌊ rfloor:⌋ lceil:⌈ rceil:⌉ langle:⟨ rangle:⟩ vert:| lvert:| rvert:| Vert:‖ lVert:‖ rVert:‖ lbrace:{ rbrace:} " +
    "lbrack:[ rbrack:] backslash:\\ {:{ }:} |:‖ %:% $:$ #:# &:& _:_ -:");
  const LARGE = words("sum prod coprod bigcup bigcap bigoplus bigwedge bigvee");
  const FUNCTIONS = words(
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan exp log ln lg max min sup inf lim limsup liminf gcd lcm " +
    "det dim ker deg arg hom Pr mod");
  const UNDER = words("lim limsup liminf max min sup inf gcd det Pr");
  const SPACES = pairs(",:0.17em ::0.22em >:0.22em ;:0.28em !:0em quad:1em qquad:2em enspace:0.5em thinspace:0.17em space:0.25em");
  const STYLED = pairs("mathbb:double mathcal:script mathscr:script mathfrak:fraktur mathbf:bold boldsymbol:bold bm:bold");
  const UPRIGHT = words("text textrm textbf textit texttt textsf textnormal mbox mathrm mathsf mathtt mathit operatorname emph");
  const ACCENTS = pairs(
    "bar:¯ overline:¯ hat:^ widehat:^ vec:→ overrightarrow:→ tilde:~ widetilde:~ dot:˙ ddot:¨ check:ˇ overbrace:⏞ overarc:⌢ overparen:⌢");
  const LOWER = pairs("underline:_ underbrace:⏟ underbar:_");
  const NOTHING = words(
    "displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits nonumber notag hline big Big bigg Bigg bigl " +
    "bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm middle normalsize small large Large centering noindent bf rm it cal protect");
  const DROPPED = words("hspace vspace label tag phantom hphantom vphantom color textcolor mathstrut cline");
  const GRIDS = pairs(
    "matrix:, pmatrix:(,) bmatrix:[,] Bmatrix:{,} vmatrix:|,| Vmatrix:‖,‖ smallmatrix:, cases:{, array:, tabular:, aligned:, align:, " +
    "align*:, alignat:, gather:, gathered:, gather*:, split:, eqnarray:, eqnarray*:, equation:, equation*:, multline:, multline*:, dcases:{,");
  const BLACKBOARD = pairs("C:ℂ H:ℍ N:ℕ P:ℙ Q:ℚ R:ℝ Z:ℤ");

  function node(tag, content, attributes) {
    const made = document.createElementNS(NS, tag);
    if (typeof content === "string") made.textContent = content;
    else for (const child of content || []) made.appendChild(child);
    for (const name in attributes || {}) made.setAttribute(name, attributes[name]);
    return made;
  }
  const row = (nodes) => (nodes.length === 1 ? nodes[0] : node("mrow", nodes));
  const operator = (sign, attributes) => node("mo", sign, attributes);

  // Brackets as tall as what they hold. A browser stretches them itself only where a mathematical font is installed.
  function fenced(open, nodes, close) {
    const inside = row(nodes), height = Math.min(12, heightOf(inside));
    const bracket = (sign) => {
      const made = operator(sign, { stretchy: "false", fence: "true" });
      if (height > 1.2) made.style.transform = `scale(${Math.min(1.4, height ** 0.3).toFixed(2)}, ${height.toFixed(2)})`;
      return made;
    };
    return node("mrow", [...(open ? [bracket(open)] : []), inside, ...(close ? [bracket(close)] : [])]);
  }

  // In lines of text, roughly.
  function heightOf(made) {
    const children = [...made.children];
    const tallest = Math.max(1, ...children.map(heightOf));
    if (made.localName === "mtable") return 1.25 * children.reduce((sum, line) => sum + heightOf(line), 0);
    if (made.localName === "mfrac") return 0.8 * (heightOf(children[0]) + heightOf(children[1]));
    if (/^m(under|over|underover)$/.test(made.localName)) return tallest + 0.5 * (children.length - 1);
    return /^m(sub|sup|subsup)$/.test(made.localName) ? tallest + 0.15 : tallest;
  }

  class Reader {
    constructor(text) {
      this.tokens = text.match(/\\[a-zA-Z]+\*?|\\[\s\S]|\d+(?:[.,]\d+)*|\s+|[\s\S]/gu) || [];
      this.at = 0;
      this.depth = 0;
    }
    get next() { return this.tokens[this.at]; }
    get isDone() { return this.at >= this.tokens.length; }
    blanks() { while (!this.isDone && /^\s/.test(this.next)) this.at += 1; }

    // Everything until one of the closing tokens, which is left there; a text that ends too soon ends it too.
    list(closing) {
      const nodes = [];
      for (this.blanks(); !this.isDone && !closing.includes(this.next); this.blanks()) {
        const made = this.scripted();
        if (made) nodes.push(made);
      }
      return nodes;
    }

    scripted() {
      const name = this.next;
      let base = name === "^" || name === "_" ? node("mrow", []) : this.atom();
      let below = null, above = null;
      for (this.blanks(); !this.isDone; this.blanks()) {
        if (this.next === "_" && !below) { this.at += 1; below = this.argument(); }
        else if (this.next === "^" && !above) { this.at += 1; above = this.argument(); }
        else if (this.next === "'") {
          let primes = "";
          for (; this.next === "'"; this.at += 1) primes += "′";
          above = above ? row([operator(primes), above]) : operator(primes);
        } else if (/^\\(limits|nolimits)$/.test(this.next)) this.at += 1;
        else break;
      }
      if (!below && !above) return base;
      base = base || node("mrow", []);
      const isUnder = /^\\/.test(name) && (LARGE.has(name.slice(1)) || UNDER.has(name.slice(1)) || /brace$/.test(name));
      const [both, under, over] = isUnder ? ["munderover", "munder", "mover"] : ["msubsup", "msub", "msup"];
      if (below && above) return node(both, [base, below, above]);
      return below ? node(under, [base, below]) : node(over, [base, above]);
    }

    atom() {
      const token = this.next;
      this.at += 1;
      if (token === "{") return this.group("}");
      if (token === "}" || token === "&") return null; // one that closes nothing
      if (token.startsWith("\\")) return this.command(token.slice(1));
      if (/^\d/.test(token)) return node("mn", token);
      if (/^\p{L}$/u.test(token)) return node("mi", token);
      if (token === "~") return node("mspace", "", { width: "0.25em" });
      if (token === "-") return operator("−");
      if (/^[()[\]|]$/.test(token)) return operator(token, { stretchy: "false" });
      return operator(token);
    }

    group(closing) {
      this.deeper();
      const nodes = this.list([closing]);
      this.at += 1;
      this.depth -= 1;
      return row(nodes);
    }

    argument() {
      this.blanks();
      if (this.isDone) return node("mrow", []);
      if (/^\d\d/.test(this.next)) { // x^23 is x^2 3
        const digits = this.next;
        this.tokens[this.at] = digits.slice(1);
        return node("mn", digits[0]);
      }
      return this.atom() || node("mrow", []);
    }

    optional() {
      this.blanks();
      if (this.next !== "[") return null;
      this.at += 1;
      return this.group("]");
    }

    // The source of {...}, for what is text and not a formula.
    verbatim() {
      this.blanks();
      if (this.next !== "{") return this.isDone ? "" : this.tokens[this.at++];
      let said = "";
      for (let open = 0; !this.isDone; ) {
        const token = this.tokens[this.at++];
        open += token === "{" ? 1 : token === "}" ? -1 : 0;
        if (open === 0) break;
        if (!(token === "{" && open === 1)) said += token;
      }
      return said;
    }

    command(name) {
      if (LETTERS.has(name)) return node("mi", LETTERS.get(name), { mathvariant: "normal" });
      if (LARGE.has(name)) return operator(OPERATORS.get(name), { largeop: "false", movablelimits: "true", class: "large" });
      if (OPERATORS.has(name)) return operator(OPERATORS.get(name));
      if (SPACES.has(name)) return node("mspace", "", { width: SPACES.get(name) });
      if (FUNCTIONS.has(name)) return node("mi", name, { mathvariant: "normal" });
      if (/^[dtc]?frac$/.test(name)) return node("mfrac", [this.argument(), this.argument()]);
      if (/^[dt]?binom$/.test(name)) {
        const stacked = node("mfrac", [this.argument(), this.argument()], { linethickness: "0" });
        return fenced("(", [stacked], ")");
      }
      if (name === "sqrt") {
        const degree = this.optional(), inside = this.argument();
        return degree ? node("mroot", [inside, degree]) : node("msqrt", [inside]);
      }
      if (name === "boxed" || name === "fbox") return node("mrow", [this.argument()], { class: "boxed" });
      if (UPRIGHT.has(name.replace("*", ""))) return this.upright(name);
      if (STYLED.has(name)) return this.styled(STYLED.get(name));
      if (ACCENTS.has(name)) return node("mover", [this.argument(), operator(ACCENTS.get(name))], { accent: "true" });
      if (LOWER.has(name)) return node("munder", [this.argument(), operator(LOWER.get(name))]);
      if (/^(over|stack)(set|rel)$/.test(name)) { const over = this.argument(); return node("mover", [this.argument(), over]); }
      if (name === "underset") { const under = this.argument(); return node("munder", [this.argument(), under]); }
      if (name === "left") return this.between();
      if (name === "right") { this.delimiter(); return null; }
      if (name === "not") { this.blanks(); const base = this.atom(); return base ? node("mrow", [base, operator("̸")]) : null; }
      if (/^[bp]?mod$/.test(name)) return this.modulo(name);
      if (/cancel$/.test(name)) return this.argument();
      if (name === "begin") return this.environment();
      if (name === "end") { this.verbatim(); return null; }
      if (name === "\\" || name === "newline") return node("mspace", "", { linebreak: "newline", width: "1em" });
      if (/^\s$/.test(name)) return node("mspace", "", { width: "0.25em" });
      if (DROPPED.has(name)) { this.verbatim(); return null; }
      if (NOTHING.has(name)) return null;
      return node("mtext", "\\" + name, { class: "unread" });
    }

    delimiter() {
      this.blanks();
      const token = this.isDone ? "." : this.tokens[this.at++];
      if (token === ".") return "";
      return token.startsWith("\\") ? OPERATORS.get(token.slice(1)) || token : token;
    }

    between() {
      const open = this.delimiter();
      this.deeper();
      const nodes = this.list(["\\right"]);
      this.depth -= 1;
      this.at += 1;
      return fenced(open, nodes, this.delimiter());
    }

    deeper() {
      this.depth += 1;
      if (this.depth > MOST_DEPTH) throw new RangeError("nested too deeply");
    }

    upright(name) {
      const said = this.verbatim();
      if (!/^(text|mbox|emph)/.test(name)) return node("mi", said.replace(/\\[,;! ]|[{}]/g, " ").trim() || " ", { mathvariant: "normal" });
      // Blanks at the ends of MathML text are dropped, and in \text they are what is meant.
      return node("mtext", said.replace(/\\([$%&#_{} ,])/g, "$1").replace(/\$/g, "").replace(/^\s|\s$/g, "\u00a0"));
    }

    styled(style) {
      const made = this.argument();
      for (const leaf of made.localName === "mi" ? [made] : made.querySelectorAll("mi")) {
        if (style === "double" && BLACKBOARD.has(leaf.textContent)) leaf.textContent = BLACKBOARD.get(leaf.textContent);
        leaf.setAttribute("mathvariant", "normal");
        if (style === "bold") leaf.setAttribute("class", "bold");
      }
      return made;
    }

    modulo(name) {
      const word = node("mi", "mod", { mathvariant: "normal" }), gap = () => node("mspace", "", { width: "0.28em" });
      if (name === "bmod") return node("mrow", [gap(), word, gap()]);
      return node("mrow", [gap(), operator("("), word, gap(), this.argument(), operator(")")]);
    }

    environment() {
      const name = this.verbatim();
      if (!GRIDS.has(name)) return node("mtext", `\\begin{${name}}`, { class: "unread" });
      if (/^(array|tabular|alignat)$/.test(name)) this.verbatim(); // the columns
      this.deeper();
      const lines = [[]];
      while (!this.isDone) {
        lines[lines.length - 1].push(node("mtd", this.list(["&", "\\\\", "\\end"])));
        const ended = this.tokens[this.at++];
        if (ended === "\\\\") { lines.push([]); this.optional(); }
        if (ended === "\\end") { this.verbatim(); break; }
      }
      this.depth -= 1;
      const filled = lines.filter((cells) => cells.some((cell) => cell.childNodes.length));
      const isAligned = /align|split|eqnarray/.test(name);
      const table = node("mtable", filled.map((cells) => node("mtr", cells)), {
        displaystyle: "true", class: isAligned ? "aligned" : "", columnalign: isAligned ? "right left" : /cases/.test(name) ? "left" : "center",
      });
      const [left, right] = GRIDS.get(name).split(",");
      return fenced(left, [table], right || "");
    }
  }

  function formula(tex, isBlock) {
    if (tex.length > MOST_CHARACTERS) return null;
    try {
      const nodes = new Reader(tex).list([]);
      if (!nodes.length) return null;
      return node("math", [node("mrow", nodes)], isBlock ? { display: "block", alttext: tex } : { alttext: tex });
    } catch (problem) {
      if (problem instanceof RangeError) return null; // nested without end: shown as it was written
      throw problem;
    }
  }

  // A dollar opens a formula where no blank follows, and closes it where no blank stands before and no digit after: of
  // "$5 and $6" neither does both.
  const FORMULA = new RegExp(
    [
      "\\$\\$([\\s\\S]+?)\\$\\$", "\\\\\\[([\\s\\S]+?)\\\\\\]",
      "\\\\\\(([\\s\\S]+?)\\\\\\)", "\\$(?![\\s$])((?:\\\\[\\s\\S]|[^$\\\\])*?(?:\\\\[^\\s]|[^\\s$\\\\]))\\$(?!\\d)",
      "(\\\\begin\\{([a-zA-Z]+\\*?)\\}[\\s\\S]+?\\\\end\\{\\6\\})", "(\\\\boxed\\s*\\{(?:[^{}]|\\{(?:[^{}]|\\{(?:[^{}]|\\{[^{}]*\\})*\\})*\\})*\\})",
    ].join("|"), "g");

  function fill(element, text) {
    let from = 0;
    for (const found of text.matchAll(FORMULA)) {
      const isBlock = found[1] !== undefined || found[2] !== undefined || found[5] !== undefined;
      const tex = found[1] ?? found[2] ?? found[3] ?? found[4] ?? found[5] ?? found[7];
      const drawn = formula(tex, isBlock);
      if (!drawn) continue;
      const before = plain(text.slice(from, found.index)), after = text.slice(found.index + found[0].length);
      // A formula on a line of its own takes the blanks around it, one within a line the punctuation that follows it.
      const taken = (isBlock ? /^\s*/ : /^[.,;:!?)\]’]*/).exec(after)[0];
      if (isBlock) element.append(before.trimEnd(), drawn);
      else element.append(before, kept(drawn, taken));
      from = found.index + found[0].length + taken.length;
    }
    element.append(plain(text.slice(from)));
  }
  function kept(drawn, punctuation) {
    if (!punctuation) return drawn;
    const together = document.createElement("span");
    together.className = "kept";
    together.append(drawn, punctuation);
    return together;
  }

  // What would move a cursor or turn the direction of reading is shown as unreadable, as it is.
  const visible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  const plain = (text) => visible(text).replace(/\\\$/g, "$");

  // A gold answer or an extracted one is a formula without dollars around it.
  function fillAnswer(element, text) {
    const drawn = /[\\^_]/.test(text) && !text.includes("$") ? formula(text, false) : null;
    if (drawn) element.append(drawn);
    else fill(element, text);
  }

  return { fill, fillAnswer, visible };
})();
