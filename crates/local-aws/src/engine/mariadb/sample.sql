-- A web shop: 22 tables, 100,000 rows, the same in every run. The newest order is of @newest (UTC);
-- every other time lies before it. Run as the superuser on an empty server.

SET NAMES utf8mb4;
SET time_zone = '+00:00';
-- Amazon RDS's own default for MySQL allows zero dates.
SET sql_mode = 'NO_ENGINE_SUBSTITUTION';

CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;

CREATE TABLE departments (
    id   INT UNSIGNED PRIMARY KEY,
    name VARCHAR(100) NOT NULL UNIQUE
);

CREATE TABLE employees (
    id            INT UNSIGNED PRIMARY KEY,
    department_id INT UNSIGNED NOT NULL REFERENCES departments (id),
    manager_id    INT UNSIGNED REFERENCES employees (id),
    name          VARCHAR(200) NOT NULL,
    email         VARCHAR(200) NOT NULL UNIQUE,
    hired_on      DATE NOT NULL
);

-- As made twenty years ago: text in latin1, and zero dates for "never".
CREATE TABLE suppliers (
    id              INT UNSIGNED PRIMARY KEY,
    name            VARCHAR(200) NOT NULL,
    country         CHAR(2) NOT NULL,
    active          TINYINT(1) NOT NULL,
    contract_until  DATE NOT NULL DEFAULT '0000-00-00',
    last_visited_at DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00'
) CHARACTER SET latin1 COLLATE latin1_german1_ci;

CREATE TABLE categories (
    id        INT UNSIGNED PRIMARY KEY,
    parent_id INT UNSIGNED REFERENCES categories (id),
    name      VARCHAR(200) NOT NULL
);

CREATE TABLE brands (
    id      INT UNSIGNED PRIMARY KEY,
    name    VARCHAR(200) NOT NULL UNIQUE,
    founded YEAR NOT NULL
);

CREATE TABLE warehouses (
    id       INT UNSIGNED PRIMARY KEY,
    city     VARCHAR(200) NOT NULL,
    opens_at TIME NOT NULL
);

CREATE TABLE products (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    category_id INT UNSIGNED NOT NULL REFERENCES categories (id),
    brand_id    INT UNSIGNED NOT NULL REFERENCES brands (id),
    supplier_id INT UNSIGNED NOT NULL REFERENCES suppliers (id),
    sku         VARCHAR(40) NOT NULL UNIQUE,
    name        VARCHAR(200) NOT NULL,
    weight_g    INT NOT NULL CHECK (weight_g > 0),
    visible     BIT(1) NOT NULL,
    flags       BIT(12) NOT NULL,
    attributes  JSON NOT NULL,
    created_at  DATETIME NOT NULL
);

CREATE TABLE prices (
    product_id BIGINT UNSIGNED NOT NULL REFERENCES products (id),
    valid_from DATETIME NOT NULL,
    amount     DECIMAL(10, 2) NOT NULL CHECK (amount > 0),
    currency   CHAR(3) NOT NULL DEFAULT 'EUR',
    PRIMARY KEY (product_id, valid_from)
);

CREATE TABLE stock (
    warehouse_id INT UNSIGNED NOT NULL REFERENCES warehouses (id),
    product_id   BIGINT UNSIGNED NOT NULL REFERENCES products (id),
    quantity     INT UNSIGNED NOT NULL,
    counted_at   DATETIME NOT NULL,
    PRIMARY KEY (warehouse_id, product_id)
);

CREATE TABLE customers (
    id         BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    email      VARCHAR(200) NOT NULL UNIQUE,
    name       VARCHAR(200) NOT NULL,
    newsletter TINYINT(1) NOT NULL,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE addresses (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    customer_id BIGINT UNSIGNED NOT NULL REFERENCES customers (id),
    street      VARCHAR(200) NOT NULL,
    postcode    VARCHAR(20) NOT NULL,
    city        VARCHAR(200) NOT NULL,
    country     CHAR(2) NOT NULL,
    KEY addresses_customer (customer_id)
);

CREATE TABLE coupons (
    id          INT UNSIGNED PRIMARY KEY,
    code        VARCHAR(20) NOT NULL UNIQUE,
    percent_off TINYINT UNSIGNED NOT NULL CHECK (percent_off BETWEEN 1 AND 90),
    expires_on  DATE
);

CREATE TABLE carts (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    customer_id BIGINT UNSIGNED REFERENCES customers (id),
    updated_at  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE cart_lines (
    cart_id    BIGINT UNSIGNED NOT NULL REFERENCES carts (id) ON DELETE CASCADE,
    product_id BIGINT UNSIGNED NOT NULL REFERENCES products (id),
    quantity   INT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (cart_id, product_id)
);

CREATE TABLE orders (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    customer_id BIGINT UNSIGNED NOT NULL REFERENCES customers (id),
    address_id  BIGINT UNSIGNED NOT NULL REFERENCES addresses (id),
    state       ENUM ('placed', 'paid', 'shipped', 'delivered', 'cancelled') NOT NULL,
    created_at  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    KEY orders_created_at (created_at),
    KEY orders_customer (customer_id)
);

CREATE TABLE order_lines (
    order_id   BIGINT UNSIGNED NOT NULL REFERENCES orders (id),
    line       INT NOT NULL,
    product_id BIGINT UNSIGNED NOT NULL REFERENCES products (id),
    quantity   INT NOT NULL CHECK (quantity > 0),
    unit_price DECIMAL(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line),
    KEY order_lines_product (product_id)
);

CREATE TABLE coupon_uses (
    order_id  BIGINT UNSIGNED PRIMARY KEY REFERENCES orders (id),
    coupon_id INT UNSIGNED NOT NULL REFERENCES coupons (id)
);

CREATE TABLE payments (
    id       BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    order_id BIGINT UNSIGNED NOT NULL UNIQUE REFERENCES orders (id),
    method   VARCHAR(40) NOT NULL,
    amount   DECIMAL(12, 2) NOT NULL,
    paid_at  DATETIME(3) NOT NULL
);

CREATE TABLE refunds (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    payment_id  BIGINT UNSIGNED NOT NULL REFERENCES payments (id),
    amount      DECIMAL(12, 2) NOT NULL,
    reason      VARCHAR(200) NOT NULL,
    refunded_at DATETIME(6) NOT NULL
);

CREATE TABLE shipments (
    id           BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    order_id     BIGINT UNSIGNED NOT NULL UNIQUE REFERENCES orders (id),
    warehouse_id INT UNSIGNED NOT NULL REFERENCES warehouses (id),
    carrier      VARCHAR(40) NOT NULL,
    tracking     VARCHAR(40) NOT NULL,
    shipped_at   TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE reviews (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    product_id  BIGINT UNSIGNED NOT NULL REFERENCES products (id),
    customer_id BIGINT UNSIGNED NOT NULL REFERENCES customers (id),
    stars       TINYINT NOT NULL CHECK (stars BETWEEN 1 AND 5),
    body        TEXT,
    created_at  DATETIME NOT NULL,
    KEY reviews_product (product_id)
);

-- Its time is without a zone, as in many an old table: readers must know that it is UTC.
CREATE TABLE audit_log (
    id          BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    employee_id INT UNSIGNED REFERENCES employees (id),
    action      VARCHAR(40) NOT NULL,
    detail      JSON NOT NULL,
    logged_at   DATETIME NOT NULL
);

-- All rows in one transaction, and references looked at when all are there.
SET foreign_key_checks = 0;
SET unique_checks = 0;
START TRANSACTION;

INSERT INTO departments
SELECT seq, ELT(seq, 'Board', 'Sales', 'Purchasing', 'Logistics', 'Support', 'Finance', 'People', 'Engineering')
FROM seq_1_to_8;

INSERT INTO employees
SELECT seq, 1 + seq % 8, IF(seq > 8, 1 + seq % 8, NULL), CONCAT('Employee ', seq), CONCAT('employee', seq, '@shop.example'),
       DATE(@newest - INTERVAL 30 + seq * 17 DAY)
FROM seq_1_to_120;

INSERT INTO suppliers
SELECT seq, CONCAT(IF(seq % 3 = 0, 'Zulieferer Müller & Söhne ', 'Supplier '), seq),
       ELT(1 + seq % 8, 'DE', 'FR', 'IT', 'ES', 'PL', 'NL', 'PT', 'SE'), seq % 19 <> 0,
       IF(seq % 4 = 0, '0000-00-00', DATE(@newest - INTERVAL seq DAY)),
       IF(seq % 5 = 0, '0000-00-00 00:00:00', @newest - INTERVAL seq HOUR)
FROM seq_1_to_200;

INSERT INTO categories
SELECT seq, IF(seq > 10, 1 + seq % 10, NULL), CONCAT('Category ', seq)
FROM seq_1_to_60;

INSERT INTO brands
SELECT seq, CONCAT('Brand ', seq), 1950 + seq % 70
FROM seq_1_to_150;

INSERT INTO warehouses
SELECT seq, ELT(seq, 'Hamburg', 'Lyon', 'Turin', 'Bilbao', 'Gdynia', 'Utrecht', 'Porto', 'Malmö', 'Graz', 'Brno'),
       SEC_TO_TIME((6 + seq % 3) * 3600)
FROM seq_1_to_10;

INSERT INTO products
SELECT seq, 1 + seq % 60, 1 + seq % 150, 1 + seq % 200, CONCAT('SKU-', LPAD(seq, 6, '0')), CONCAT('Product ', seq),
       50 + seq * 7 % 9000, seq % 50 <> 0, seq % 4096,
       JSON_OBJECT('colour', ELT(1 + seq % 5, 'black', 'white', 'red', 'blue', 'green'), 'size', 30 + seq % 20),
       @newest - INTERVAL 24 * 400 - seq * 4 HOUR
FROM seq_1_to_2000;

INSERT INTO prices (product_id, valid_from, amount)
SELECT p.seq, @newest - INTERVAL age DAY, (199 + p.seq * 37 % 24000 + age) / 100
FROM seq_1_to_2000 AS p, (SELECT 380 AS age UNION ALL SELECT 60) AS ages;

INSERT INTO stock
SELECT 1 + (p.seq + n.seq) % 10, p.seq, p.seq * 13 % 500, @newest - INTERVAL p.seq % 1440 MINUTE
FROM seq_1_to_2000 AS p, seq_0_to_1 AS n;

-- Some with what needs four bytes in UTF-8.
INSERT INTO customers
SELECT seq, CONCAT('customer', seq, '@mail.example'), CONCAT('Customer ', seq, IF(seq % 7 = 0, ' 🛒', '')), seq % 3 = 0,
       @newest - INTERVAL 9000 - seq HOUR
FROM seq_1_to_8000;

INSERT INTO addresses
SELECT seq, 1 + (seq - 1) % 8000, CONCAT('Market Street ', seq % 300), LPAD(seq * 7 % 100000, 5, '0'),
       CONCAT('Town ', seq % 400), ELT(1 + seq % 5, 'DE', 'FR', 'IT', 'ES', 'PL')
FROM seq_1_to_9000;

INSERT INTO coupons
SELECT seq, CONCAT('SAVE', LPAD(seq, 4, '0')), 5 + seq % 40,
       IF(seq % 4 <> 0, DATE(@newest + INTERVAL CAST(seq AS SIGNED) - 50 DAY), NULL)
FROM seq_1_to_100;

INSERT INTO carts
SELECT seq, IF(seq % 5 <> 0, 1 + seq * 11 % 8000, NULL), @newest - INTERVAL seq * 9 MINUTE
FROM seq_1_to_1500;

INSERT INTO cart_lines
SELECT c.seq, 1 + (c.seq * 17 + n.seq * 5) % 2000, 1 + (c.seq + n.seq) % 3
FROM seq_1_to_1500 AS c, seq_0_to_1 AS n;

-- One order every three minutes, the last of them at @newest.
INSERT INTO orders
SELECT seq, 1 + (seq - 1) % 8000, 1 + (seq - 1) % 8000,
       CASE WHEN seq % 20 = 0 THEN 'cancelled' WHEN seq <= 9000 THEN 'delivered' WHEN seq <= 11000 THEN 'shipped'
            WHEN seq % 2 = 0 THEN 'placed' ELSE 'paid' END,
       @newest - INTERVAL (12000 - seq) * 3 MINUTE
FROM seq_1_to_12000;

INSERT INTO order_lines
SELECT o.seq, n.seq, 1 + (o.seq * 7 + n.seq * 31) % 2000, 1 + (o.seq + n.seq) % 4, (199 + (o.seq * 37 + n.seq) % 24000) / 100
FROM seq_1_to_12000 AS o JOIN seq_1_to_3 AS n ON n.seq <= IF(o.seq % 6 = 0, 3, 2);

INSERT INTO coupon_uses
SELECT seq * 8, 1 + seq % 100
FROM seq_1_to_1352;

INSERT INTO payments
SELECT ROW_NUMBER() OVER (ORDER BY o.id), o.id, ELT(1 + o.id % 3, 'card', 'transfer', 'wallet'), l.amount, o.created_at
FROM orders AS o
JOIN (SELECT order_id, SUM(quantity * unit_price) AS amount FROM order_lines GROUP BY order_id) AS l ON l.order_id = o.id
WHERE o.id % 20 <> 0;

INSERT INTO refunds
SELECT seq, seq * 15, p.amount, ELT(1 + seq % 4, 'broken', 'wrong size', 'late', 'changed mind'), p.paid_at + INTERVAL 1 MINUTE
FROM seq_1_to_600 JOIN payments AS p ON p.id = seq * 15;

INSERT INTO shipments
SELECT ROW_NUMBER() OVER (ORDER BY id), id, 1 + id % 10, ELT(1 + id % 3, 'post', 'parcel', 'courier'),
       CONCAT('TR', LPAD(id, 10, '0')), created_at + INTERVAL 2 MINUTE
FROM orders
WHERE state IN ('delivered', 'shipped')
ORDER BY id
LIMIT 10450;

INSERT INTO reviews
SELECT seq, 1 + seq * 3 % 2000, 1 + seq * 5 % 8000, 1 + seq * 7 % 5, IF(seq % 4 <> 0, CONCAT('Review number ', seq), NULL),
       @newest - INTERVAL seq * 12 MINUTE
FROM seq_1_to_3000;

INSERT INTO audit_log
SELECT seq, 1 + seq % 120, ELT(1 + seq % 4, 'login', 'price change', 'refund', 'stock count'),
       JSON_OBJECT('request', MD5(seq)), @newest - INTERVAL (3050 - seq) * 5 MINUTE
FROM seq_1_to_3050;

COMMIT;

CREATE VIEW daily_revenue AS
SELECT DATE(paid_at) AS day, COUNT(*) AS payments, SUM(amount) AS amount
FROM payments
GROUP BY DATE(paid_at);

-- The users a shop's instance would have on Amazon RDS: a master user that is no superuser, with the
-- rights that RDS's documentation lists for it, an application's user, and one that may only read,
-- for checks of restored copies.
EXECUTE IMMEDIATE CONCAT('CREATE USER shop_admin@''%'' IDENTIFIED BY ', QUOTE(@password));
EXECUTE IMMEDIATE CONCAT('CREATE USER shop_app@''%'' IDENTIFIED BY ', QUOTE(@password));
EXECUTE IMMEDIATE CONCAT('CREATE USER restore_check@''%'' IDENTIFIED BY ', QUOTE(@password));
-- Who has the role rds_iam logs in by a token of IAM, through a front that unlocks the account (mariadb/front.rs).
CREATE ROLE rds_iam;
CREATE USER iam_check@'%' IDENTIFIED BY '' ACCOUNT LOCK;
GRANT rds_iam TO iam_check@'%';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,
    CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE,
    ALTER ROUTINE, CREATE USER, EVENT, TRIGGER ON *.* TO shop_admin@'%' WITH GRANT OPTION;
GRANT SELECT, INSERT, UPDATE, DELETE, EXECUTE ON shop.* TO shop_app@'%';
GRANT SELECT, SHOW VIEW ON shop.* TO restore_check@'%', iam_check@'%';
