"""A small text in many scripts, with all that trips software that was tried on English."""

PARAGRAPHS = (
    "Die Straße führt über den Fluss, und die größten Bäume stehen früh am Morgen im Nebel. Öfter hörte er süße Grüße.",
    "Зимой снег лежит до апреля, а весной река выходит из берегов. Ёлка стояла у окна, и съёмка ещё не началась.",
    "今天早上下了一场大雨,街上的人都打着伞。图书馆里很安静,学生们正在准备考试。",
    "東京の夏は蒸し暑い。ひらがな、カタカナ、漢字が一つの文に混ざる。ガギグゲゴ",
    "القراءة في الصباح مفيدة\u200f، والطقس جميل اليوم. قال \u202bالمعلم\u202c: مرحبًا بكم في المدرسة.",
    "हिन्दी में लिखना आसान है, क्षत्रिय और ज्ञान जैसे संयुक्ताक्षर भी हैं। नमस्ते दुनिया।",
    "שלום עולם, הספר על השולחן\u200e (page 12) והחתול ישן.",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ กำลังทดสอบน้ำเสียง",
    "Cafe\u0301, nai\u0308ve, A\u030angstro\u0308m; Z\u0351\u036b\u0343algo and precomposed é, ï, Å side by side.",
    "Family 👩‍👩‍👧‍👦, skin 👍🏽, flag 🇺🇦, keycap 1️⃣, heart ❤️, and an astral 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 line.",
)
