<?php
// The backend of an app, as small as it can be and still pay each view once: a receiver of what carom sends, and one of an
// ad network's own postbacks.
//
// It keeps three tables in a SQLite file: the balances, the views that were paid, and the deliveries that were granted.
// To try it out: php -S 127.0.0.1:3000 index.php

declare(strict_types=1);

// What PHP says of an error goes to the log. In an answer it would show paths and queries to everybody.
ini_set('display_errors', '0');
ini_set('log_errors', '1');
// A sender that hangs up does not end the script half-way.
ignore_user_abort(true);

// The price is ours. An amount is never taken from a URL: whoever finds out the URL would choose it.
const COINS_PER_VIEW = 5;

// The app shows each ad with a fresh ymid: the user's id, a dot, and something random. With the bare user's id as ymid, a
// copy could not be told from the next view.
const YMID = '/^([A-Za-z0-9_-]{1,64})\.[A-Za-z0-9_-]{8,64}$/D';

// No secret, no answer but 500: a check against an empty secret lets everybody in. There is no default either.
$caromSecret = (string) getenv('CAROM_SECRET');
$networkSecret = (string) getenv('NETWORK_SECRET');
if (strlen($caromSecret) < 16 || strlen($networkSecret) < 16) {
    error_log('set CAROM_SECRET and NETWORK_SECRET, each to 16 characters or more');
    http_response_code(500);
    exit;
}
// Two of them while the secret is being replaced.
$caromSecrets = array_filter([$caromSecret, (string) getenv('CAROM_SECRET_PREVIOUS')]);

// No rate limiter in front of these two routes: its 429 for a burst of real postbacks only makes them come again.
$route = $_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
match ($route) {
    'POST /carom' => carom($caromSecrets),
    'GET /postback' => postback($networkSecret),
    default => http_response_code(404),
};

/** What carom sends: POST, JSON, signed by the Standard Webhooks convention. */
function carom(array $secrets): void
{
    // The signature covers the bytes, so they are taken raw: JSON that was parsed and written again has others.
    $body = (string) file_get_contents('php://input', length: 256 * 1024 + 1);
    if (strlen($body) > 256 * 1024) {
        http_response_code(413);
        return;
    }
    if (!isFromCarom($secrets, $body)) {
        http_response_code(403);
        return;
    }
    try {
        ['type' => $type, 'data' => $data] = json_decode($body, true, 16, JSON_THROW_ON_ERROR);
        if (empty($data['test'])) { // a test of the operator's earns nothing
            // The mark of the delivery and the coins are in one transaction: after a crash between them there is neither, and
            // the next attempt pays. Of two copies in parallel the second waits for the first.
            transaction(fn (PDO $db) => grantOnce($db, $_SERVER['HTTP_WEBHOOK_ID'], $type, $data));
        }
    } catch (Throwable $e) {
        // Answered 500, carom sends it again. The text may name users: it is for the log.
        error_log('carom: ' . $e->getMessage());
        http_response_code(500);
        return;
    }
    crashAt('before_answer'); // only for the tests
    http_response_code(200); // after the commit: answered before it, an error would lose the coins
}

function isFromCarom(array $secrets, string $body): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    // A dot in the id could be moved between the signed parts. Five minutes are for clocks that differ.
    if (!preg_match('/^[^.]+$/D', $id) || !preg_match('/^\d{1,12}$/D', $timestamp) || abs(time() - (int) $timestamp) > 300) {
        return false;
    }
    $sent = explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? ''); // several while the secret is being replaced
    foreach ($secrets as $secret) {
        $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, 6)) : $secret;
        $signature = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
        foreach ($sent as $s) {
            if (hash_equals($signature, $s)) { // == would take "0e1" and "0e2" for equal, and show where two texts differ
                return true;
            }
        }
    }
    return false;
}

function grantOnce(PDO $db, string $deliveryID, string $type, array $data): void
{
    // A reward counts once, by whatever deliveries it comes; its reversal is another booking.
    $key = isset($data['reward']) ? $data['reward']['id'] . ' ' . $data['reward']['state'] : $deliveryID;
    $mark = $db->prepare('INSERT INTO carom_granted (id) VALUES (?) ON CONFLICT DO NOTHING');
    $mark->execute([$key]);
    if ($mark->rowCount() === 0) {
        return;
    }
    // Pay by the rules in carom or by the events, never by both.
    if (getenv('CAROM_RULES') === 'on') {
        if (in_array($type, ['reward.granted', 'reward.reversed'], true)) {
            bookReward($db, $data['reward']);
        }
    } elseif (in_array($type, ['event.impression', 'event.click'], true) && $data['reward_event_type'] === 'valued') {
        payView($db, $data['zone_id'], $data['ymid']);
    }
}

/** Books what carom's rules decided. A reversal is a booking of its own, so it does not matter which of the two comes first. */
function bookReward(PDO $db, array $reward): void
{
    if ($reward['currency'] !== 'coins' || !preg_match('/^\d{1,9}$/D', $reward['amount'])) {
        // Better repeated, and seen in carom's status, than rounded to something.
        throw new UnexpectedValueException("reward {$reward['id']} is not in whole coins");
    }
    crashAt('after_mark'); // only for the tests
    addCoins($db, $reward['user'], $reward['state'] === 'reversed' ? -(int) $reward['amount'] : (int) $reward['amount']);
    crashAt('after_grant'); // only for the tests
}

/**
 * What the network itself sends, with this URL at the network:
 * https://HOST/postback?secret=SECRET&ymid={ymid}&zone_id={zone_id}&event_type={event_type}&reward_event_type={reward_event_type}
 */
function postback(string $secret): void
{
    // Nothing else proves where this comes from. ?secret[]=x makes an array of it, which is no text.
    $sent = $_GET['secret'] ?? '';
    if (!is_string($sent) || !hash_equals(hash('sha256', $secret), hash('sha256', $sent))) {
        http_response_code(403);
        return;
    }
    // From here on it comes from the network. Whatever is settled is answered 200, paid or not: any other answer to something
    // that is as it should be (a copy, an unpaid view) has the network send it again and again.
    header('Content-Type: text/plain; charset=utf-8');
    // Of a parameter that comes twice, $_GET holds the last one only: so the query itself is counted.
    $names = array_map(fn ($pair) => urldecode(explode('=', $pair)[0]), explode('&', $_SERVER['QUERY_STRING']));
    if (count($names) !== count(array_unique($names)) || array_filter($_GET, 'is_array')) {
        echo "ignored: a parameter came twice\n";
        return;
    }
    if (!in_array($_GET['event_type'] ?? '', ['impression', 'click'], true)) {
        echo "ignored: unknown event_type\n";
        return;
    }
    // Paid for is `valued` and nothing else: not what is missing, and not what is unknown. It is looked at before the view is
    // marked, so that an unpaid event which comes first does not use up the ymid.
    if (($_GET['reward_event_type'] ?? '') !== 'valued') {
        echo "ignored: not valued\n";
        return;
    }
    try {
        $said = transaction(fn (PDO $db) => payView($db, $_GET['zone_id'] ?? '', $_GET['ymid'] ?? ''));
    } catch (PDOException $e) {
        // Now the network should send it again. A 200 here would lose the user's coins.
        error_log('postback: ' . $e->getMessage());
        http_response_code(503);
        return;
    }
    crashAt('before_answer'); // only for the tests
    echo $said, "\n";
}

/** Pays for a view, once. It runs in a transaction, which the mark and the coins share. */
function payView(PDO $db, string $zone, string $ymid): string
{
    if (!preg_match(YMID, $ymid, $match)) {
        return 'ignored: the ymid is not one that the app made'; // also an unfilled "{ymid}", and none at all
    }
    // The impression and the click of one view have one ymid, and pay once: so the event type is not part of the key. Ids of
    // two zones may be equal: so the zone is. Inserting, not asking first: two copies in parallel would both find nothing.
    $mark = $db->prepare('INSERT INTO paid_views (zone, ymid) VALUES (?, ?) ON CONFLICT DO NOTHING');
    $mark->execute([$zone, $ymid]);
    if ($mark->rowCount() === 0) {
        return 'OK, paid before';
    }
    crashAt('after_mark'); // only for the tests
    addCoins($db, $match[1], COINS_PER_VIEW);
    crashAt('after_grant'); // only for the tests
    return 'OK';
}

function addCoins(PDO $db, string $user, int $coins): void
{
    // Whole coins, and one statement: who reads the balance first and writes it then loses one of two that come together.
    $db->prepare('INSERT INTO balances (user, coins) VALUES (?, ?)
        ON CONFLICT (user) DO UPDATE SET coins = coins + excluded.coins')->execute([$user, $coins]);
}

/** Runs $work in one transaction that writes: committed at its end, rolled back by any exception. */
function transaction(callable $work): mixed
{
    // Outside of the folder that the web server hands out: else everybody could fetch the file.
    $db = new PDO('sqlite:' . (getenv('DATABASE') ?: dirname(__DIR__) . '/app.db'));
    // Another request may be writing: wait for it up to five seconds instead of failing at once.
    $db->exec('PRAGMA busy_timeout = 5000');
    $db->exec('BEGIN IMMEDIATE');
    try {
        $db->exec('CREATE TABLE IF NOT EXISTS balances (user TEXT PRIMARY KEY, coins INTEGER NOT NULL)');
        $db->exec('CREATE TABLE IF NOT EXISTS paid_views (zone TEXT, ymid TEXT, PRIMARY KEY (zone, ymid))');
        $db->exec('CREATE TABLE IF NOT EXISTS carom_granted (id TEXT PRIMARY KEY)');
        $result = $work($db);
        $db->exec('COMMIT');
        return $result;
    } catch (Throwable $e) {
        $db->exec('ROLLBACK');
        throw $e;
    }
}

// tests: begin
/** Ends this process as a power cut would when CRASH_AT names the given point. */
function crashAt(string $point): void
{
    if (getenv('CRASH_AT') === $point) {
        posix_kill(getmypid(), 9);
    }
}
// tests: end
