"""Why xent is behind on a table, found by looking into it. A row is what one held-out row weighs."""

EXPLAINED: dict[str, str] = {
    "Cars93": "69 rows to fit: in some splits cross-validation picks C = 10, where C = 1, the recipe's, is "
    "as good or better on the rows held out",
    "PlantGrowth": "22 rows to fit and one feature: the majority has the least log-loss; of the others, "
    "skrub squashes the feature and so learns less from it. A row is 12 points",
    "ToothGrowth": "15 rows held out: a row is 7 points, and one in five splits decides",
    "chickwts": "18 rows held out: a row is 6 points, and one in five splits decides",
    "fgl": "heavy tails, which skrub squashes; squashing is not worth its cost over all tables",
    "painters": "12 rows held out: a row is 8 points, and one in five splits decides",
    "pbc": "the column `id` numbers the rows in the order in which patients came, and those who came first "
    "were followed longest: xent leaves it out as a key, the others learn from it; --keep id uses it",
    "quine": "37 rows held out: a row is 3 points, and two in five splits decide",
    "stagec": "37 rows held out: a row is 3 points; skrub's squashing helps where C stays 1",
    "veteran": "35 rows held out: a row is 3 points; the log-loss is within its limit",
    "Leinhardt": "incomes and infant mortality over three decades of size, which skrub squashes",
    "kidney": "19 rows held out, times from 2 to 562 days, which skrub squashes",
    "whiteside": "14 rows held out: a row is 7 points, two in five splits decide; the log-loss is far less",
    "cgd": "152 rows to fit; the recipe's one column per date is as good as none for new dates, where xent "
    "has thirteen numbers; skrub's splines lose more",
    "airquality": "38 rows held out: a row is 3 points, three in five splits decide",
    "penguins": "the classes are all but separable, so C is 10 to 10,000; a row of 86 is 1.2 points",
    "spector": "8 rows held out: a row is 12 points, and one in five splits decides",
    "dates": "a class whose odds change in steps from month to month, which skrub's twelve splines follow "
    "more closely than four waves",
}
